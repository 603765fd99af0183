"""Principals of users: what a member of a tenant may do now.

Place in the path: step 2 for access tokens, and for jobs that a user asked for. Rights are read
here at every load, so a changed role holds although a token says another.
"""

from datetime import datetime

from auth.database import Database
from auth.epochs import Epochs
from auth.own_limits import storage_in, windows_in
from auth.principal import Principal, Role
from auth.roles import SCOPES
from core.errors import InvalidKey

PREFIX = "user:"
SQL = """
    SELECT m.role, m.limits, t.plan, t.time_zone FROM memberships m
    JOIN users u ON u.id = m.user_id JOIN tenants t ON t.id = m.tenant_id
    WHERE m.user_id = $1 AND m.tenant_id = $2 AND u.is_active AND t.is_active
    AND ($3::text IS NULL OR (
        EXISTS (SELECT 1 FROM refresh_tokens WHERE family = $3 AND user_id = $1 AND tenant_id = $2)
        AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE family = $3 AND revoked_at IS NOT NULL)
    ))
"""


def key_id_for(user_id: str, tenant_id: str) -> str:
    """What stands for an API key's id where a user has called without one."""
    return f"{PREFIX}{user_id}@{tenant_id}"


class UserPrincipals:
    """Every method raises StoreUnavailable when a store does not answer."""

    def __init__(self, database: Database, epochs: Epochs) -> None:
        self._database = database
        self._epochs = epochs

    async def of(
        self,
        user_id: str,
        tenant_id: str,
        session: str | None = None,
        token_expires_at: datetime | None = None,
    ) -> Principal:
        """Who a user is in a tenant.

        Args:
            session: must stand, where one is given.

        Raises InvalidKey for who is no member (any more), or is not active.
        """
        epoch = await self._epochs.read(tenant_id)  # before the facts: see auth/epochs.py
        row = await self._database.row(SQL, user_id, tenant_id, session)
        if row is None:
            raise InvalidKey("the access token is not valid")
        role = Role(row["role"])
        return Principal(
            tenant_id=tenant_id,
            key_id=key_id_for(user_id, tenant_id),
            plan=row["plan"],
            epoch=epoch,
            scopes=SCOPES[role],
            time_zone=row["time_zone"],
            user_id=user_id,
            user_windows=windows_in(row["limits"]),
            user_storage_bytes=storage_in(row["limits"]),
            role=role,
            granted_by=user_id,
            session=session,
            token_expires_at=token_expires_at,
        )

    async def of_key_id(self, key_id: str) -> Principal:
        """Who `key_id_for` was made of. Raises InvalidKey."""
        user_id, _, tenant_id = key_id.removeprefix(PREFIX).partition("@")
        return await self.of(user_id, tenant_id)
