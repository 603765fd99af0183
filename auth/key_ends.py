"""Ends of keys: who may end one, and what ends with it.

Place in the path: administration. Who steals a key with the scope `keys` makes others with it, and
rotates what it can, the stolen key itself first, to learn new secrets; with the scope `members` it
invites itself. All of that is found by who asked for it (`issued_by`), directly or not. Who has
joined by such an invitation is a member by now: this module names such users and removes nobody.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import asyncpg

from auth.accounts import ApiKey
from auth.database import Connection
from auth.grants import require_all_of
from auth.key_makers import require_own
from auth.key_rows import api_key
from auth.principal import Principal, Role
from core.errors import Forbidden

ISSUED = """
    WITH RECURSIVE issued (id) AS (
        SELECT id FROM api_keys WHERE id = $1
        UNION SELECT k.id FROM issued
        JOIN api_keys k ON k.issued_by = issued.id OR k.parent_id = issued.id
    )
    SELECT k.id, k.tenant_id FROM api_keys k JOIN issued USING (id)
"""
"""A key, and all that it made or rotated, directly or not."""
MADE = """
    WITH RECURSIVE made (id) AS (
        SELECT id FROM api_keys WHERE id = $1
        UNION SELECT k.id FROM made JOIN api_keys k ON k.parent_id = made.id
    )
    SELECT k.id, k.tenant_id FROM api_keys k JOIN made USING (id)
"""
"""The same without what it rotated: successors go on."""
END = """
    UPDATE api_keys SET is_active = false, revoked_at = coalesce(revoked_at, now())
    WHERE id = ANY ($1) RETURNING *
"""
TAKE_BACK = """
    UPDATE invitations SET revoked_at = now()
    WHERE issued_by = ANY ($1) AND accepted_at IS NULL AND revoked_at IS NULL RETURNING id
"""
JOINED = """
    SELECT DISTINCT u.id FROM invitations i
    JOIN users u ON lower(u.email) = i.email
    JOIN memberships m ON m.user_id = u.id AND m.tenant_id = i.tenant_id
    WHERE i.issued_by = ANY ($1) AND i.accepted_at IS NOT NULL ORDER BY u.id
"""


@dataclass(frozen=True, slots=True)
class EndedKey:
    """A key that was revoked, and what it leaves."""

    key: ApiKey
    made: tuple[ApiKey, ...]
    """Keys that ended with it, oldest first."""
    invitations: tuple[str, ...]
    """Ids of those that were taken back."""
    members: tuple[str, ...]
    """Ids of users who have joined by invitations of these keys. They are members still."""


def require_may_end(
    granter: Principal, key: ApiKey, line: Sequence[asyncpg.Record], own: Collection[str]
) -> None:
    """Raise Forbidden unless `granter` may end `key`: itself, what it made, and what it could
    rotate. An owner ends every key but those that may do more than any owner.

    Args:
        line: of the key, itself first.
        own: ids of the granting key and of all that it made or rotated.
    """
    if key.id in own:
        return
    if granter.role is Role.OWNER:
        if key.scopes - granter.scopes:
            raise Forbidden("this key has rights that an owner lacks")
        return
    require_all_of(granter, key)
    require_own(granter, line)


async def issued_by(
    connection: Connection, key_id: str, *, rotated: bool = True
) -> list[asyncpg.Record]:
    """`id` and `tenant_id` of a key and of all that it made, and of what it rotated if asked."""
    return await connection.fetch(ISSUED if rotated else MADE, key_id)


async def end(connection: Connection, key: ApiKey, ids: Collection[str]) -> EndedKey:
    """End these keys, `key` among them, with their invitations; repeating it changes nothing."""
    rows = await connection.fetch(END, list(ids))
    taken_back = await connection.fetch(TAKE_BACK, list(ids))
    joined = await connection.fetch(JOINED, list(ids))
    ended = sorted(map(api_key, rows), key=lambda each: (each.created_at, each.id))
    return EndedKey(
        next(each for each in ended if each.id == key.id),
        tuple(each for each in ended if each.id != key.id),
        tuple(sorted(row["id"] for row in taken_back)),
        tuple(row["id"] for row in joined),
    )


async def succeed(connection: Connection, granter: Principal, old_id: str, new_id: str) -> None:
    """Give what a key made and invited to its successor.

    A rotation by a key that the old one made, or rotated, hides nothing: what the old one asked for
    stays found by its id.
    """
    await connection.execute(
        "UPDATE api_keys SET parent_id = $2 WHERE parent_id = $1", old_id, new_id
    )
    issued = {row["id"] for row in await issued_by(connection, old_id)}
    if granter.key_id in issued - {old_id}:
        return
    await connection.execute(
        "UPDATE api_keys SET issued_by = $2 WHERE issued_by = $1 AND id <> $2", old_id, new_id
    )
    await connection.execute(
        "UPDATE invitations SET issued_by = $2 WHERE issued_by = $1", old_id, new_id
    )
