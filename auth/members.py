"""Members: who belongs to a tenant, and as what.

Place in the path: beside it. A change commits first and then renews the tenant's epoch, so it
holds at the next request everywhere. A tenant always keeps an owner.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from auth import own_limits
from auth.accounts import Page
from auth.database import Connection, Database
from auth.paging import known_id, page_size
from auth.plans import LimitSet, Plans
from auth.principal import Principal, Role
from auth.revisions import Announce, changed
from auth.roles import require_rank
from core.errors import Conflict, Forbidden, NotFound

ONE = """
    SELECT u.id, u.email, u.name, u.is_active, m.role, m.limits, m.created_at AS joined_at
    FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1 AND u.id = $2
"""
OLDEST_FIRST = """
    SELECT u.id, u.email, u.name, u.is_active, m.role, m.limits, m.created_at AS joined_at
    FROM memberships m JOIN users u ON u.id = m.user_id
    WHERE m.tenant_id = $1 AND ($2::text IS NULL OR (m.created_at, u.id) >
        (SELECT created_at, user_id FROM memberships WHERE tenant_id = $1 AND user_id = $2))
    ORDER BY m.created_at, u.id LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one tenant."""

    user_id: str
    email: str | None
    name: str
    role: Role
    is_active: bool
    joined_at: datetime
    limits: LimitSet | None = None
    """Its own in this tenant, over all its keys."""


@dataclass(frozen=True, slots=True)
class MemberEdit:
    """What shall change of a member.

    Args:
        role: None leaves it.
        limits: None takes them away, where `sets_limits`.
    """

    role: Role | None = None
    limits: LimitSet | None = None
    sets_limits: bool = False


class Members:
    """The memberships. Every method raises StoreUnavailable when a store does not answer."""

    def __init__(self, database: Database, announce: Announce, plans: Plans) -> None:
        self._database = database
        self._announce = announce
        self._plans = plans

    async def find(self, tenant_id: str, user_id: str) -> Member:
        """One member of a tenant. Raises NotFound."""
        return _member(await self._database.of(tenant_id).row(ONE, tenant_id, known_id(user_id)))

    async def list(self, tenant_id: str, after: str | None = None, limit: int = 20) -> Page[Member]:
        """The members of a tenant, first joined first."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            OLDEST_FIRST,
            tenant_id,
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_member(row) for row in rows[:limit]), len(rows) > limit)

    async def change(self, principal: Principal, user_id: str, edit: MemberEdit) -> Member:
        """Make a member of the principal's tenant something else, or hold it to other limits: all
        that `edit` says, or nothing of it.

        Raises NotFound, Forbidden for roles above the principal's own and for whoever would free
        itself of limits, Conflict for the last owner, InvalidRequest for limits above those of the
        tenant.
        """
        tenant_id = principal.tenant_id
        own = user_id in (principal.bound_user_id, principal.granted_by)
        if edit.sets_limits and own and principal.role is not Role.OWNER:
            raise Forbidden("only an owner sets its own limits", "limits")
        async with self._database.of(tenant_id).transaction() as connection:
            member = await self._locked(connection, principal, user_id)
            if edit.sets_limits:
                await self._set_limits(connection, tenant_id, user_id, edit.limits)
            if edit.role is not None:
                require_rank(principal, edit.role)
                await _set_role(connection, tenant_id, member, edit.role)
        await self._announce()
        return await self.find(tenant_id, user_id)

    async def remove(self, principal: Principal, user_id: str) -> None:
        """End a membership, with its sessions, the keys that this user made, and those that were
        made for it.

        Anybody may remove itself. Raises NotFound, Forbidden, Conflict for the last owner.
        """
        tenant_id = principal.tenant_id
        async with self._database.of(tenant_id).transaction() as connection:
            member = await self._locked(connection, principal, user_id)
            if member.role is Role.OWNER:
                await _require_another_owner(connection, tenant_id, user_id)
            await connection.execute(
                "DELETE FROM memberships WHERE tenant_id = $1 AND user_id = $2", tenant_id, user_id
            )
            await connection.execute(
                "UPDATE refresh_tokens SET revoked_at = now()"
                " WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL",
                tenant_id,
                user_id,
            )
            keys = await connection.fetch(
                "UPDATE api_keys SET is_active = false, revoked_at = now()"
                " WHERE tenant_id = $1 AND $2 IN (granted_by, user_id) AND revoked_at IS NULL"
                " RETURNING id",
                tenant_id,
                user_id,
            )
            await _revoke_invitations(connection, tenant_id, user_id, [row["id"] for row in keys])
        await self._announce()

    async def _set_limits(
        self, connection: Connection, tenant_id: str, user_id: str, limits: LimitSet | None
    ) -> None:
        plan = await connection.fetchval("SELECT plan FROM tenants WHERE id = $1", tenant_id)
        own_limits.require_within(limits, own_limits.above_user(self._plans[plan]))
        await connection.execute(
            "UPDATE memberships SET limits = $3 WHERE tenant_id = $1 AND user_id = $2",
            tenant_id,
            user_id,
            own_limits.stored(limits),
        )

    async def _locked(self, connection: Connection, principal: Principal, user_id: str) -> Member:
        """The member, while nobody else changes this tenant."""
        await changed(connection, [principal.tenant_id])
        row = await connection.fetchrow(ONE, principal.tenant_id, known_id(user_id))
        member = _member(row)
        is_self = principal.role is not None and principal.user_id == user_id
        if not is_self:
            require_rank(principal, member.role)
        return member


async def _set_role(connection: Connection, tenant_id: str, member: Member, role: Role) -> None:
    if member.role is Role.OWNER and role is not Role.OWNER:
        await _require_another_owner(connection, tenant_id, member.user_id)
    await connection.execute(
        "UPDATE memberships SET role = $3, role_said_at = now()"
        " WHERE tenant_id = $1 AND user_id = $2",
        tenant_id,
        member.user_id,
        role.value,
    )
    await _revoke_invitations(connection, tenant_id, member.user_id)


async def add_member(connection: Connection, tenant_id: str, user_id: str, role: Role) -> None:
    """A new membership. Raises Conflict when there is one."""
    try:
        await connection.execute(
            "INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1, $2, $3)",
            tenant_id,
            user_id,
            role.value,
        )
    except asyncpg.UniqueViolationError as error:
        raise Conflict("this user is a member already") from error


async def _require_another_owner(connection: Connection, tenant_id: str, user_id: str) -> None:
    another = await connection.fetchval(
        "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.tenant_id = $1"
        " AND m.role = 'owner' AND u.is_active AND u.id <> $2 LIMIT 1",
        tenant_id,
        user_id,
    )
    if another is None:
        raise Conflict("a tenant keeps at least one owner")


async def _revoke_invitations(
    connection: Connection, tenant_id: str, user_id: str, key_ids: Sequence[str] = ()
) -> None:
    """What a user's former rights, and these keys, have promised others does not hold any more."""
    await connection.execute(
        "UPDATE invitations SET revoked_at = now() WHERE tenant_id = $1"
        " AND (invited_by = $2 OR issued_by = ANY ($3))"
        " AND accepted_at IS NULL AND revoked_at IS NULL",
        tenant_id,
        user_id,
        key_ids,
    )


def _member(row: asyncpg.Record | None) -> Member:
    if row is None:
        raise NotFound("no such member")
    return Member(
        row["id"],
        row["email"],
        row["name"],
        Role(row["role"]),
        row["is_active"],
        row["joined_at"],
        own_limits.read(row["limits"]),
    )
