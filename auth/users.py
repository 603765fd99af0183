"""Users: people who log in, wherever they are members.

Place in the path: beside it. This module checks no password and makes no token.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from auth.database import Connection, Database
from auth.paging import known_id
from auth.principal import Role
from auth.revisions import Announce, changed
from core.errors import Conflict, NotFound

USER_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class User:
    """A person. Its password's hash is never shown."""

    id: str
    email: str | None
    """What it logs in with; None for users of an identity provider."""
    name: str
    is_active: bool
    created_at: datetime
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Membership:
    """What a user is in one tenant."""

    tenant_id: str
    tenant_name: str
    role: Role


class Users:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce

    async def find(self, user_id: str) -> User:
        """One user. Raises NotFound."""
        return user_of(
            await self._database.row("SELECT * FROM users WHERE id = $1", known_id(user_id))
        )

    async def named(self, email: str) -> User | None:
        """The user of a normalized address."""
        row = await self._database.row("SELECT * FROM users WHERE lower(email) = $1", email)
        return None if row is None else user_of(row)

    async def memberships(self, user_id: str) -> list[Membership]:
        """The active tenants of a user, first joined first."""
        rows = await self._database.fetch(
            "SELECT t.id, t.name, m.role FROM memberships m JOIN tenants t ON t.id = m.tenant_id"
            " WHERE m.user_id = $1 AND t.is_active ORDER BY m.created_at, t.id",
            user_id,
        )
        return [Membership(row["id"], row["name"], Role(row["role"])) for row in rows]

    async def rename(self, user_id: str, name: str) -> User:
        """Change what people call a user. Raises NotFound."""
        return user_of(
            await self._database.row(
                "UPDATE users SET name = $2 WHERE id = $1 RETURNING *", user_id, name
            )
        )

    async def replace_hash(self, user_id: str, old: str, new: str) -> bool:
        """Store another hash in the place of `old`; whether that was still there."""
        async with self._database.connection() as connection:
            return await replace_hash(connection, user_id, old, new)

    async def set_active(self, user_id: str, *, active: bool) -> User:
        """Let a user in, or keep it out, in every tenant at once. Its keys stop as well.

        Raises NotFound.
        """
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "UPDATE users SET is_active = $2 WHERE id = $1 RETURNING *",
                known_id(user_id),
                active,
            )
            user = user_of(row)
            await changed(connection, await tenants_of(connection, user_id))
        await self._announce()
        return user


async def add_user(
    connection: Connection, email: str | None, name: str, password_hash: str | None
) -> User:
    """A new user. Raises Conflict when the address has one."""
    try:
        row = await connection.fetchrow(
            "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4)"
            " RETURNING *",
            f"u-{secrets.token_hex(USER_ID_BYTES)}",
            email,
            name,
            password_hash,
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict("this email address has an account already", "email") from error
    return user_of(row)


async def has_hash(connection: Connection, user: User) -> bool:
    """Whether the user's hash is still that one, until the transaction ends."""
    found = await connection.fetchval(
        "SELECT 1 FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE",
        user.id,
        user.password_hash,
    )
    return found is not None


async def replace_hash(connection: Connection, user_id: str, old: str, new: str) -> bool:
    """Store another hash in the place of `old`; False when somebody replaced that before."""
    found = await connection.fetchval(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING 1",
        user_id,
        old,
        new,
    )
    return found is not None


async def tenants_of(connection: Connection, user_id: str) -> list[str]:
    """Ids of the tenants that a user is a member of."""
    rows = await connection.fetch("SELECT tenant_id FROM memberships WHERE user_id = $1", user_id)
    return [row["tenant_id"] for row in rows]


def user_of(row: asyncpg.Record | None) -> User:
    """A row as a user. Raises NotFound."""
    if row is None:
        raise NotFound("no such user")
    return User(
        row["id"],
        row["email"],
        row["name"],
        row["is_active"],
        row["created_at"],
        row["password_hash"],
    )
