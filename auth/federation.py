"""Federation: users of identity providers as users here, made when they are first seen.

Place in the path: step 2, after a foreign token was verified. They are never joined with local
accounts by email address: a provider does not say who somebody is here.
"""

from auth.database import Connection, Database
from auth.issuers import Stranger
from auth.members import add_member
from auth.paging import known_id
from auth.revisions import Announce, changed
from auth.users import add_user
from core.errors import InvalidKey


class Federation:
    """Raises StoreUnavailable when a store does not answer."""

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce

    async def user_id(self, stranger: Stranger) -> str:
        """The user of a verified token, made with its membership when it is new in its tenant.

        Somebody who was removed from the tenant stays out. Raises InvalidKey for an unknown
        tenant.
        """
        known = await self._known(stranger)
        if known is None:
            async with self._database.transaction() as connection:
                known = await self._add(connection, stranger)
        if stranger.role_is_stated:
            await self._follow(known, stranger)
        return known

    async def _known(self, stranger: Stranger) -> str | None:
        row = await self._database.row(
            "SELECT user_id FROM user_identities"
            " WHERE issuer = $1 AND subject = $2 AND tenant_id = $3",
            stranger.issuer,
            stranger.subject,
            stranger.tenant_id,
        )
        return None if row is None else row["user_id"]

    async def _add(self, connection: Connection, stranger: Stranger) -> str:
        """One at a time per user, so that two first requests make one user."""
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))",
            f"{stranger.issuer} {stranger.subject}",
        )
        rows = await connection.fetch(
            "SELECT user_id, tenant_id FROM user_identities WHERE issuer = $1 AND subject = $2",
            stranger.issuer,
            stranger.subject,
        )
        for row in rows:
            if row["tenant_id"] == stranger.tenant_id:
                return str(row["user_id"])
        tenant = await connection.fetchval(
            "SELECT 1 FROM tenants WHERE id = $1 AND is_active", known_id(stranger.tenant_id)
        )
        if tenant is None:
            raise InvalidKey("the access token is not valid")
        if rows:
            user_id = str(rows[0]["user_id"])
        else:
            user_id = (await add_user(connection, None, stranger.name, None)).id
        await connection.execute(
            "INSERT INTO user_identities (issuer, subject, tenant_id, user_id)"
            " VALUES ($1, $2, $3, $4)",
            stranger.issuer,
            stranger.subject,
            stranger.tenant_id,
            user_id,
        )
        await add_member(connection, stranger.tenant_id, user_id, stranger.role)
        return user_id

    async def _follow(self, user_id: str, stranger: Stranger) -> None:
        """The provider decides on roles, and what it said last holds: an older token, which may be
        good for a while yet, changes nothing that was said since, by the provider or here.
        """
        news = await self._database.row(
            "SELECT role <> $3 AS differs FROM memberships WHERE user_id = $1 AND tenant_id = $2"
            " AND (role_said_at IS NULL OR role_said_at < $4"
            " OR (role_said_at = $4 AND role <> $3))",
            user_id,
            stranger.tenant_id,
            stranger.role.value,
            stranger.issued_at,
        )
        if news is None:
            return
        async with self._database.transaction() as connection:
            if news["differs"]:
                await changed(connection, [stranger.tenant_id])
            await connection.execute(
                "UPDATE memberships SET role = $3, role_said_at = $4"
                " WHERE user_id = $1 AND tenant_id = $2"
                " AND (role_said_at IS NULL OR role_said_at <= $4)",
                user_id,
                stranger.tenant_id,
                stranger.role.value,
                stranger.issued_at,
            )
        if news["differs"]:
            await self._announce()
