"""Principals of API keys: what a key may do now.

Place in the path: step 2 for API keys, when `auth.identify` does not remember the key; and for jobs
that a key asked for. Rights and limits are read here at every load, the key's, its user's and its
maker's, so what changed since holds.
"""

from datetime import UTC, datetime

import asyncpg

from auth.accounts import Verification
from auth.database import Database
from auth.epochs import Epochs
from auth.key_makers import LINE, within_makers
from auth.key_rows import models_of, scopes_of
from auth.keys import KeyHasher, key_id_of
from auth.limits import Limits
from auth.own_limits import storage_in, windows_in
from auth.plans import HOUR_S, Meter
from auth.principal import Principal, Role
from auth.roles import SCOPES
from core.errors import ExpiredKey, InvalidKey, Unauthenticated

SQL = """
    WITH RECURSIVE line (id, rotated_from, place) AS (
        SELECT id, rotated_from, 0 FROM api_keys WHERE id = $1
        UNION ALL SELECT older.id, older.rotated_from, place + 1
        FROM line JOIN api_keys older ON older.id = line.rotated_from
    )
    SELECT k.*, t.plan, t.time_zone, m.role, owner.limits AS user_limits,
        (SELECT id FROM line ORDER BY place DESC LIMIT 1) AS first_id,
        k.is_active AND t.is_active AND k.revoked_at IS NULL
        AND (k.granted_by IS NULL OR (m.role IS NOT NULL AND u.is_active))
        AND coalesce(used_by.is_active, true) AS is_good
    FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
    LEFT JOIN users u ON u.id = k.granted_by
    LEFT JOIN memberships m ON m.user_id = k.granted_by AND m.tenant_id = k.tenant_id
    LEFT JOIN memberships owner ON owner.user_id = k.user_id AND owner.tenant_id = k.tenant_id
    LEFT JOIN users used_by ON used_by.id = owner.user_id
    WHERE k.id = $1
"""


class KeyPrincipals:
    """Every method raises StoreUnavailable when a store does not answer."""

    def __init__(
        self, database: Database, epochs: Epochs, hasher: KeyHasher, limits: Limits
    ) -> None:
        self._database = database
        self._epochs = epochs
        self._hasher = hasher
        self._limits = limits

    async def of(self, key: str) -> Principal:
        """Who `key` acts for.

        Raises InvalidKey for a key that is unknown, revoked or of an inactive tenant, ExpiredKey
        for one whose time is over.
        """
        key_id = key_id_of(key)
        if key_id is None:
            raise InvalidKey("the API key is not valid")
        return await self._good(key_id, key)

    async def of_key_id(self, key_id: str) -> Principal:
        """Who the key of that id acts for. Raises InvalidKey, ExpiredKey."""
        return await self._good(key_id, None)

    async def verify(self, key: str) -> Verification:
        """Whether `key` is good, and its tier and quota: the answer S2's clients ask for."""
        try:
            principal = await self.of(key)
        except Unauthenticated as error:
            return Verification(valid=False, code=error.code)
        hourly = [
            window.limit
            for _, windows in self._limits.scopes(principal)
            for window in windows
            if window.meter is Meter.REQUESTS and window.seconds == HOUR_S and not window.watched
        ]
        return Verification(
            valid=True,
            tenant_id=principal.tenant_id,
            key_id=principal.key_id,
            tier=principal.tier or principal.plan,
            requests_per_hour=min(hourly, default=None),
            scopes=principal.scopes,
            expires_at=principal.expires_at,
        )

    async def _good(self, key_id: str, key: str | None) -> Principal:
        """The principal of a key's id; `key`, where one was presented, must be that key."""
        owner = await self._database.row("SELECT tenant_id FROM api_keys WHERE id = $1", key_id)
        if owner is None:
            raise InvalidKey("the API key is not valid")
        epoch = await self._epochs.read(owner["tenant_id"])  # before the facts: see auth/epochs.py
        row = await self._database.row(SQL, key_id)
        if row is None or not row["is_good"]:
            raise InvalidKey("the API key is not valid")
        if key is not None and not self._hasher.matches(key, row["key_hash"]):
            raise InvalidKey("the API key is not valid")
        if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
            raise ExpiredKey("the API key has expired")
        return await self._within_makers(_principal(row, epoch), row["parent_id"])

    async def _within_makers(self, principal: Principal, parent_id: str | None) -> Principal:
        """With what the keys that made it leave it. Raises InvalidKey, ExpiredKey."""
        if parent_id is None:
            return principal
        made = within_makers(principal, await self._database.fetch(LINE, parent_id))
        if made is None:
            raise InvalidKey("the API key is not valid: the key that made it has ended")
        return made


def _principal(row: asyncpg.Record, epoch: str) -> Principal:
    scopes = scopes_of(row)
    if row["granted_by"] is not None:  # it never does more than its maker may do now
        scopes &= SCOPES[Role(row["role"])]
    return Principal(
        tenant_id=row["tenant_id"],
        key_id=row["id"],
        plan=row["plan"],
        epoch=epoch,
        scopes=scopes,
        user_id=row["user_id"],
        time_zone=row["time_zone"],
        allowed_models=models_of(row),
        key_requests_per_hour=row["requests_per_hour"],
        key_windows=windows_in(row["limits"]),
        user_windows=windows_in(row["user_limits"]),
        key_storage_bytes=storage_in(row["limits"]),
        user_storage_bytes=storage_in(row["user_limits"]),
        tier=row["tier"],
        expires_at=row["expires_at"],
        granted_by=row["granted_by"],
        first_key_id=row["first_id"],
        trusted=row["trusted"],
    )
