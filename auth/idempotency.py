"""Idempotency keys: which requests were made already, and what was answered.

Place in the path: around the whole of it, for POSTs that carry the header (draft-ietf-httpapi-
idempotency-key-header). Entries live in Valkey, per caller; a name begins with its caller's tenant
and a colon. This module keeps bytes and decides nothing about HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from auth.pipeline import Pipeline
from auth.scripts import Script

CLAIM = Script("claim")
CONCLUDE = Script("conclude")
DAY_S = 86_400.0
MOST_BYTES = 64 * 2**20
"""Of all answers that are kept for one tenant: more, and its oldest go before their day is over."""


class Claim(StrEnum):
    """What came of claiming a key."""

    CLAIMED = "claimed"
    """It is the caller's: do the work, and keep the answer or give the claim up."""
    RUNNING = "running"
    """The same request is being answered."""
    ENDED = "ended"
    """It was answered: here is what was kept."""
    OTHER = "other"
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The reply to a claim; `kept` only when it has ended."""

    claim: Claim
    kept: bytes = b""


class IdempotencyBook:
    """Every method raises StoreUnavailable.

    Args:
        store: connection to Valkey.
        prefix: begins every key.
        lease_s: how long a claim stands that nobody renews: its process was killed.
        keep_s: how long answers are kept.
        most_bytes: that the answers of one tenant take together.
    """

    def __init__(
        self,
        store: Pipeline,
        prefix: str = "carillon",
        lease_s: float = 60.0,
        keep_s: float = DAY_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._claims = f"{prefix}:claims"
        self.lease_s = lease_s
        self._lease_ms = int(lease_s * 1000)
        self._keep_ms = int(keep_s * 1000)
        self._most_bytes = most_bytes

    async def claim(self, name: str, fingerprint: bytes, owner: str) -> Claimed:
        """Claim the key `name` for the request of that fingerprint."""
        keys = (self._key(name), self._claims)
        reply = await CLAIM.run(self._store, keys, (fingerprint, owner, self._lease_ms))
        return Claimed(Claim(reply[0].decode()), reply[1] if len(reply) > 1 else b"")

    async def renew(self, name: str, owner: str) -> None:
        """The work takes longer."""
        await self._conclude(name, owner, self._lease_ms)

    async def keep(self, name: str, owner: str, kept: bytes, calls: Sequence[str] = ()) -> None:
        """The work is done; this is what others are told.

        Args:
            calls: `Ask.once` of the calls that it made: they need not be remembered any more.
        """
        await self._conclude(name, owner, 0, kept, calls)

    async def give_up(self, name: str, owner: str) -> None:
        """The work failed: the next request with this key may try."""
        await self._conclude(name, owner, 0)

    async def _conclude(
        self,
        name: str,
        owner: str,
        lease_ms: int,
        kept: bytes = b"",
        calls: Sequence[str] = (),
    ) -> None:
        tenant = name.partition(":")[0]
        keys = (
            self._key(name),
            f"{self._prefix}:idempotency-kept:{tenant}",
            f"{self._prefix}:idempotency-bytes:{tenant}",
            self._claims,
            *(f"{self._prefix}:once:{call}" for call in calls),
        )
        arguments = (owner, lease_ms, kept, self._keep_ms, self._most_bytes)
        await CONCLUDE.run(self._store, keys, arguments)

    def _key(self, name: str) -> str:
        return f"{self._prefix}:idempotency:{name}"
