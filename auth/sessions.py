"""Sessions: what keeps a user logged in, by refresh tokens that are good for one use each.

Place in the path: beside it; step 2 asks whether the session of an access token still stands. A
refresh token that comes a second time was copied by somebody, and nobody knows who holds the right
one: the whole session ends (RFC 9700, section 4.14). Stored are keyed digests.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from pydantic import SecretStr

from auth.database import Connection, Database
from auth.keys import KeyHasher
from auth.revisions import Announce, changed
from core.errors import InvalidCredentials

ID_BYTES = 12
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A login that stands, with the token that continues it."""

    id: str
    user_id: str
    tenant_id: str
    refresh_token: SecretStr


class Sessions:
    """The rows. Every method raises StoreUnavailable when a store does not answer.

    Args:
        lifetime_s: how long a refresh token can be used.
    """

    def __init__(
        self, database: Database, hasher: KeyHasher, announce: Announce, lifetime_s: float
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._announce = announce
        self._lifetime = timedelta(seconds=lifetime_s)

    async def open(self, user_id: str, tenant_id: str) -> Session:
        """A new session. What is over of the user's older ones is cleared away."""
        async with self._database.transaction() as connection:
            return await self.open_in(connection, user_id, tenant_id)

    async def open_in(self, connection: Connection, user_id: str, tenant_id: str) -> Session:
        """As `open`, as a part of somebody's transaction."""
        await connection.execute(
            "DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at < now()", user_id
        )
        return await self._add(connection, secrets.token_hex(ID_BYTES), user_id, tenant_id)

    async def refresh(self, token: SecretStr) -> Session:
        """The session of `token`, with a new token in its place.

        Of many who bring the same token at once, one is served; the others end the session.
        Raises InvalidCredentials.
        """
        async with self._database.transaction() as connection:
            row = await self._locked(connection, token)
            usable = row is not None and _stands(row)
            if row is not None and usable and row["used_at"] is None:
                await connection.execute(
                    "UPDATE refresh_tokens SET used_at = now() WHERE id = $1", row["id"]
                )
                return await self._add(connection, row["family"], row["user_id"], row["tenant_id"])
            if row is not None and usable:
                await _end(connection, [row])
        if usable:
            await self._announce()
        raise InvalidCredentials("the refresh token is not valid")

    async def close(self, token: SecretStr) -> None:
        """End the session of `token`, used or not; an unknown one is no error (RFC 7009)."""
        async with self._database.transaction() as connection:
            row = await self._locked(connection, token)
            if row is not None:
                await _end(connection, [row])
        await self._announce()

    async def close_all(
        self, user_id: str, *, only: str | None = None, but: str | None = None
    ) -> None:
        """End a user's sessions: all, only one, or all but one."""
        async with self._database.transaction() as connection:
            await end_all(connection, user_id, only=only, but=but)
        await self._announce()

    async def _locked(self, connection: Connection, token: SecretStr) -> asyncpg.Record | None:
        """The row of a token, once the whole session is ours to change."""
        digest = self._hasher.digest(token.get_secret_value())
        family = await connection.fetchval(
            "SELECT family FROM refresh_tokens WHERE digest = $1", digest
        )
        if family is None:
            return None
        await _lock(connection, [family])
        return await connection.fetchrow("SELECT * FROM refresh_tokens WHERE digest = $1", digest)

    async def _add(
        self, connection: Connection, family: str, user_id: str, tenant_id: str
    ) -> Session:
        token = f"cr-{secrets.token_urlsafe(SECRET_BYTES)}"
        await connection.execute(
            "INSERT INTO refresh_tokens (id, family, user_id, tenant_id, digest, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            secrets.token_hex(ID_BYTES),
            family,
            user_id,
            tenant_id,
            self._hasher.digest(token),
            datetime.now(UTC) + self._lifetime,
        )
        return Session(family, user_id, tenant_id, SecretStr(token))


async def end_all(
    connection: Connection, user_id: str, *, only: str | None = None, but: str | None = None
) -> None:
    """End a user's sessions, all, only one, or all but one, as a part of somebody's transaction."""
    rows = await connection.fetch(
        "SELECT DISTINCT family, tenant_id FROM refresh_tokens WHERE user_id = $1"
        " AND revoked_at IS NULL AND ($2::text IS NULL OR family = $2)"
        " AND ($3::text IS NULL OR family <> $3)",
        user_id,
        only,
        but,
    )
    await _end(connection, rows)


def _stands(row: asyncpg.Record) -> bool:
    return row["revoked_at"] is None and row["expires_at"] > datetime.now(UTC)


async def _lock(connection: Connection, families: list[str]) -> None:
    """Have sessions to oneself: no refresh adds a token to one that ends."""
    for family in sorted(families):
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", family)


async def _end(connection: Connection, rows: "list[asyncpg.Record]") -> None:
    """Revoke whole sessions, and make every gateway look again at who had them."""
    await _lock(connection, [row["family"] for row in rows])
    await changed(connection, {row["tenant_id"] for row in rows})
    await connection.execute(
        "UPDATE refresh_tokens SET revoked_at = now() WHERE family = ANY ($1)"
        " AND revoked_at IS NULL",
        [row["family"] for row in rows],
    )
