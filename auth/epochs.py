"""Epochs: the version of a tenant's keys and plan, as an opaque string in Valkey.

Place in the path: written when an account changes, read before a principal is loaded, compared
by every admission. This module does not know what changed.

The order makes revocation immediate. A loader reads the epoch first and PostgreSQL second, so a
principal is never newer in epoch than in facts; a change commits to PostgreSQL first and renews
the epoch second, so a principal read before the change never matches afterwards. Every renewal is
a fresh random value: repeating one can only make principals stale, never good again.
"""

import secrets

from auth.pipeline import Pipeline

EPOCH_BYTES = 12


class Epochs:
    """The epochs of all tenants.

    Args:
        store: connection to Valkey.
        prefix: begins every key.
    """

    def __init__(self, store: Pipeline, prefix: str = "carillon") -> None:
        self._store = store
        self._prefix = prefix

    async def read(self, tenant_id: str) -> str:
        """The tenant's epoch; one is made when there is none. Raises StoreUnavailable."""
        fresh = secrets.token_urlsafe(EPOCH_BYTES)
        current = await self._store.call("SET", self._key(tenant_id), fresh, "NX", "GET")
        return fresh if current is None else str(current.decode())

    async def renew(self, tenant_id: str) -> None:
        """Make every principal of the tenant stale, on every gateway. Raises StoreUnavailable."""
        fresh = secrets.token_urlsafe(EPOCH_BYTES)
        await self._store.call("SET", self._key(tenant_id), fresh)

    def _key(self, tenant_id: str) -> str:
        return f"{self._prefix}:epoch:{tenant_id}"
