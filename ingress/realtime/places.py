"""Places for connections: how many each key has, and all together.

Place in the path: the handshake, after identifying. Counts are of one gateway replica, and survive
a change of its route table.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from auth.principal import Principal
from core.errors import LimitReached
from ingress.realtime.settings import RealtimeSettings

RETRY_S = 30.0


class Places:
    """One gateway replica's."""

    def __init__(self, settings: RealtimeSettings) -> None:
        self.settings = settings
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, principal: Principal) -> Iterator[None]:
        """A place for as long as the block runs. Raises LimitReached."""
        who = principal.counted_key_id
        limits = self.settings
        if self._taken[who] >= limits.connections_per_key:
            raise LimitReached(
                f"these credentials have {limits.connections_per_key} connections already",
                None,
                RETRY_S,
            )
        if self._taken.total() >= limits.connections:
            raise LimitReached("this gateway has no place for more connections", None, RETRY_S)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]
