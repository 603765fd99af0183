"""Attempts: how often somebody may try to log in.

Place in the path: before a password is looked at. Counted are tries, not failures, so that many at
once cannot all slip through; a login that succeeds takes its own count back. Addresses and emails
are in Valkey as digests only.
"""

from auth.keys import KeyHasher
from auth.pipeline import Pipeline
from core.errors import LimitReached

PER_ADDRESS = 10
"""How many times as many tries an address has as an email from that address."""


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
        self._window_s = window_s

    async def begin(self, subject: str, address: str | None) -> None:
        """Count a try of `subject`, an email address or what else is tried, from `address`.

        Raises LimitReached with the time until the window ends.
        """
        if address is not None:
            await self._count(self._key(address), self._limit * PER_ADDRESS)
        await self._count(self._key(subject, address), self._limit)

    async def succeeded(self, subject: str, address: str | None) -> None:
        """Forget the tries of `subject` from `address`: it knew the password."""
        await self._store.call("DEL", self._key(subject, address))
        if address is not None:
            await self._store.call("DECR", self._key(address))
            await self._store.call("EXPIRE", self._key(address), self._window_s, "NX")

    async def _count(self, key: str, limit: int) -> None:
        await self._store.call("SET", key, 0, "NX", "EX", self._window_s)
        count = await self._store.call("INCR", key)
        left_s = await self._store.call("TTL", key)
        if left_s < 0:  # it ended between the first two commands
            await self._store.call("EXPIRE", key, self._window_s)
            left_s = self._window_s
        if count > limit:
            raise LimitReached("too many attempts; try again later", retry_after_s=float(left_s))

    def _key(self, *parts: str | None) -> str:
        said = "\0".join(("attempt", *(part or "" for part in parts)))
        return f"{self._prefix}:attempts:{self._hasher.digest(said).hex()}"
