"""Strangers: clients that try one unknown key after another.

Place in the path: before step 2. A key that is not known costs a look into PostgreSQL. One client
may try a few; beyond them, until a minute is over, only keys that this gateway has seen to be good
pass for it. Keys of 256 random bits are not guessed: this is for the database, not for them.

A client is its address, where the operator's proxy tells it (`identity.forwarded_for`), else its
connection. It is counted in this process, without a store.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import HTTPConnection

from core.errors import LimitReached
from ingress.client_address import client_address

MOST_KEYS = 20
"""Different unknown keys of one client in a window."""
WINDOW_S = 60.0
MAX_CLIENTS = 10_000

Client = str | tuple[str, int] | None


class Memory(Protocol):
    """What this process remembers of keys. See `auth.identify`."""

    def remembers(self, key: str) -> bool: ...


@dataclass(slots=True)
class _Tries:
    until: float
    keys: set[int] = field(default_factory=set)


class Strangers:
    """Counts unknown keys by client.

    Args:
        forwarded_for: whether a proxy of the operator's tells addresses.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        forwarded_for: bool = False,
        most_keys: int = MOST_KEYS,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory = memory
        self._forwarded_for = forwarded_for
        self._most_keys = most_keys
        self._window_s = window_s
        self._clock = clock
        self._tries: OrderedDict[Client, _Tries] = OrderedDict()
        self._suspects: dict[Client, float] = {}
        """Clients that have tried enough, and until when: mostly nobody."""

    @property
    def watches(self) -> bool:
        """Whether anybody has tried enough: mostly nobody, and then there is nothing to check."""
        return bool(self._suspects)

    def check(self, connection: HTTPConnection, key: str | None) -> None:
        """Raise LimitReached for one more key of a client that has tried enough."""
        client, now = self._client(connection), self._clock()
        until = self._suspects.get(client)
        if until is None:
            return
        if until <= now:
            del self._suspects[client]
            return
        if key is not None and not self._memory.remembers(key):
            raise LimitReached("too many unknown API keys", None, until - now)

    def saw(self, connection: HTTPConnection, key: str) -> None:
        """A key that was not good."""
        client, now = self._client(connection), self._clock()
        tries = self._tries.get(client)
        if tries is None or tries.until <= now:
            tries = self._tries[client] = _Tries(now + self._window_s)
            self._tries.move_to_end(client)
            if len(self._tries) > MAX_CLIENTS:
                gone, _ = self._tries.popitem(last=False)
                self._suspects.pop(gone, None)
        tries.keys.add(hash(key))
        if len(tries.keys) >= self._most_keys:
            self._suspects[client] = tries.until

    def _client(self, connection: HTTPConnection) -> Client:
        address = client_address(connection, forwarded_for=self._forwarded_for)
        return address or connection.scope.get("client")
