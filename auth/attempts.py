"""Attempts: how often somebody may try to log in.

Place in the path: before a password is looked at. Counted are tries, not failures, so that many at
once cannot all slip through; a login that succeeds takes its own count back. Addresses and emails
are in Valkey as digests only.

Beside the few tries of one email from one address there are two looser ceilings: of one email from
all addresses, and of failures of everybody. They stop guessing that is spread over addresses and
emails, and keep the queue of password checks free. Whoever logged in lately, with that email from
that address, is held to neither: no crowd of guesses locks a user out at home.
"""

import math

from auth.keys import KeyHasher
from auth.pipeline import Pipeline
from auth.scripts import Script
from core.errors import LimitReached

ATTEMPT = Script("attempt")
PER_ADDRESS = 10
"""How many times as many tries an address has as an email from that address."""
PER_EMAIL = 10
"""How many times as many tries an email has from all addresses together."""
OF_ALL = 100
"""How many times as many failures all emails and addresses have together."""
FAMILIAR_S = 30 * 86_400
"""How long a login is remembered."""


class Attempts:
    """Windows in Valkey. Raises StoreUnavailable: who cannot be counted cannot log in.

    Args:
        limit: tries of one email (from one address, where addresses are known) in a window.
        window_s: length of a window, from its first try.
    """

    def __init__(
        self,
        store: Pipeline,
        hasher: KeyHasher,
        prefix: str = "carillon",
        limit: int = 10,
        window_s: int = 900,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._prefix = prefix
        self._limit = limit
        self._window_ms = window_s * 1000
        self._ends = f"{prefix}:attempts-end"

    async def begin(self, subject: str, address: str | None) -> None:
        """Count a try of `subject`, an email address or what else is tried, from `address`.

        Raises LimitReached with the time until the window ends.
        """
        if address is not None:
            await self._count(self._key(address), self._limit * PER_ADDRESS)
        await self._count(self._key(subject, address), self._limit)

    async def crowded_s(self, email: str, address: str | None) -> float | None:
        """How long it lasts that only who logged in lately may try, because so many failed with
        this email, or with any; None when it is not so. Counts a try of `email` from anywhere.
        """
        if address is not None:  # else its tries from anywhere are those that `begin` counts
            count, left_s = await self._counted(self._anywhere(email))
            if count > self._limit * PER_EMAIL:
                return left_s
        failures, left_s = await self._counted(self._key(), 0)
        return None if failures < self._limit * OF_ALL else left_s

    async def is_familiar(self, email: str, address: str | None) -> bool:
        """Whether `email` logged in from `address` lately."""
        return bool(await self._store.call("EXISTS", self._familiar(email, address)))

    async def failed(self) -> None:
        """Count a password that was wrong, whoever's."""
        await self._counted(self._key())

    async def succeeded(self, subject: str, address: str | None) -> None:
        """Forget the tries of `subject` from `address`: it knew the password."""
        await self._store.call("DEL", self._key(subject, address))
        await self._store.call("ZREM", self._ends, self._key(subject, address))
        if address is not None:
            for key in (self._key(address), self._anywhere(subject)):
                await self._counted(key, -1)

    async def remember(self, email: str, address: str | None) -> None:
        """`email` logged in from `address`."""
        await self._store.call("SET", self._familiar(email, address), 1, "EX", FAMILIAR_S)

    async def _count(self, key: str, limit: int) -> None:
        count, left_s = await self._counted(key)
        if count > limit:
            raise too_many(left_s)

    async def _counted(self, key: str, more: int = 1) -> tuple[int, float]:
        """So many more in a window: how many, and the seconds until it ends."""
        keys, arguments = (key, self._ends), (self._window_ms, more)
        count, left_ms = await ATTEMPT.run(self._store, keys, arguments)
        return int(count), float(math.ceil(left_ms / 1000))

    def _anywhere(self, email: str) -> str:
        return self._key("anywhere", email, "")

    def _familiar(self, email: str, address: str | None) -> str:
        return self._key("familiar", email, address)

    def _key(self, *parts: str | None) -> str:
        said = "\0".join(("attempt", *(part or "" for part in parts)))
        return f"{self._prefix}:attempts:{self._hasher.digest(said).hex()}"


def too_many(left_s: float) -> LimitReached:
    """The answer to one try too many."""
    return LimitReached("too many attempts; try again later", retry_after_s=left_s)
