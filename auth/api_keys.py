"""API keys of tenants: make, list, edit, rotate, revoke.

Place in the path: beside it. `auth.grants` and `auth.own_limits` say what may be granted,
`auth.key_principals` whom a key acts for. A change commits first and then renews the tenant's
epoch, so it holds everywhere at the next request.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from auth.accounts import ApiKey, IssuedKey, KeyEdit, KeyGrant, Page
from auth.database import Connection, Database
from auth.grants import granted, require_all_of, require_may_trust
from auth.key_ends import EndedKey, end, issued_by, require_may_end, succeed
from auth.key_makers import (
    above_made,
    line_of,
    require_own,
    require_shallow,
    within_hourly,
)
from auth.key_rows import api_key, grant_of, insert_key, update_key
from auth.keys import KeyHasher
from auth.own_limits import above_key, require_within
from auth.paging import known_id, page_size
from auth.plans import Plans
from auth.principal import Principal, Scope
from auth.revisions import Announce, changed
from core.errors import Conflict, InvalidRequest, NotFound

ABOVE = """
    SELECT t.plan, m.limits FROM tenants t
    LEFT JOIN memberships m ON m.tenant_id = t.id AND m.user_id = $2 WHERE t.id = $1
"""


class ApiKeys:
    """Every method raises StoreUnavailable when a store does not answer."""

    def __init__(
        self, database: Database, announce: Announce, hasher: KeyHasher, plans: Plans
    ) -> None:
        self._database = database
        self._announce = announce
        self._hasher = hasher
        self._plans = plans

    async def create(
        self, granter: Principal, grant: KeyGrant, tenant_id: str | None = None
    ) -> IssuedKey:
        """A new key of the granter's tenant; of another tenant when the granter is an admin.

        Raises Forbidden when the granter lacks the scope to make keys or grants more than it
        has, NotFound for another tenant's id, InvalidRequest for an unknown tier and for limits
        above those of the user or the tenant, Conflict for a key made by a key made by a key, and
        so on too often.
        """
        owner = _own_tenant(granter, tenant_id)
        allowed = granted(granter, grant)
        if grant.trusted:
            require_may_trust(granter)
        require_shallow(granter)
        async with self._database.of(owner).transaction() as connection:
            await self._require_possible(connection, owner, allowed)
            return await insert_key(
                connection,
                self._hasher,
                owner,
                allowed,
                granter.granted_by,
                parent_id=granter.key_id,
                issued_by=granter.key_id,
            )

    async def edit(self, granter: Principal, key_id: str, edit: KeyEdit) -> ApiKey:
        """Change a key of the granter's tenant, everywhere at once.

        Raises as `create`, Forbidden also for a key that may do more than the granter, NotFound,
        Conflict for a key that has ended.
        """
        async with self._database.of(granter.tenant_id).transaction() as connection:
            key, _, makers = await self._locked(connection, granter, key_id)
            wanted = KeyGrant.model_validate(grant_of(key).model_dump() | edit.changes)
            if wanted.trusted and not key.trusted:
                require_may_trust(granter)
            allowed = granted(granter, wanted).model_copy(update={"user_id": key.user_id})
            await self._require_possible(connection, granter.tenant_id, allowed, makers)
            edited = await update_key(connection, key.id, allowed)
        await self._announce()
        return edited

    async def rotate(self, granter: Principal, key_id: str, grace_s: float = 0.0) -> IssuedKey:
        """A successor with the same rights; the key itself ends after the grace. Keys that it made
        are the successor's from here on.

        Raises NotFound, Forbidden for a key that may do more than the granter, Conflict for one
        that has ended.
        """
        async with self._database.of(granter.tenant_id).transaction() as connection:
            key, made_by, _ = await self._locked(connection, granter, key_id)
            await connection.execute(
                "UPDATE api_keys SET expires_at = least(expires_at, $2), is_active = $3,"
                " revoked_at = CASE WHEN $3 THEN revoked_at ELSE $2 END WHERE id = $1",
                key.id,
                datetime.now(UTC) + timedelta(seconds=grace_s),
                grace_s > 0,
            )
            issued = await insert_key(
                connection,
                self._hasher,
                granter.tenant_id,
                grant_of(key),
                granter.granted_by or made_by,
                rotated_from=key.id,
                parent_id=key.parent_id,
                issued_by=granter.key_id,
            )
            await succeed(connection, granter, key.id, issued.key.id)
        await self._announce()
        return issued

    async def list(self, tenant_id: str, after: str | None = None, limit: int = 20) -> Page[ApiKey]:
        """The keys of one tenant, oldest first, revoked ones included."""
        limit = page_size(limit)
        tenant_id = known_id(tenant_id)
        rows = await self._database.of(tenant_id).fetch(
            "SELECT * FROM api_keys WHERE tenant_id = $1 AND ($2::text IS NULL OR (created_at, id)"
            " > (SELECT created_at, id FROM api_keys WHERE id = $2 AND tenant_id = $1))"
            " ORDER BY created_at, id LIMIT $3",
            tenant_id,
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(api_key(row) for row in rows[:limit]), len(rows) > limit)

    async def revoke(
        self,
        granter: Principal,
        key_id: str,
        tenant_id: str | None = None,
        *,
        keep_successors: bool = False,
    ) -> EndedKey:
        """End a key of the granter's tenant, of another one when the granter is an admin, with all
        that it made, rotated and invited, everywhere at once; repeating it changes nothing.

        Args:
            keep_successors: leave the keys that it rotated, itself among them.

        Raises NotFound, also for a key of another tenant, and Forbidden for a key that may do more
        than the granter, unless the granter made it.
        """
        owner = _own_tenant(granter, tenant_id)
        # An operator's key may have made keys of any tenant.
        is_admin = Scope.ADMIN in granter.scopes
        database = self._database if is_admin else self._database.of(owner)
        async with database.transaction() as connection:
            await changed(connection, [owner])
            row = await connection.fetchrow(
                "SELECT * FROM api_keys WHERE id = $1 AND tenant_id = $2", known_id(key_id), owner
            )
            if row is None:
                raise NotFound("no such API key")
            key = api_key(row)
            own = {each["id"] for each in await issued_by(connection, granter.key_id)}
            require_may_end(granter, key, await line_of(connection, key.id), own)
            rows = await issued_by(connection, key.id, rotated=not keep_successors)
            await changed(connection, {each["tenant_id"] for each in rows})
            ended = await end(connection, key, {each["id"] for each in rows})
        await self._announce()
        return ended

    async def _locked(
        self, connection: Connection, granter: Principal, key_id: str
    ) -> tuple[ApiKey, str | None, Sequence[asyncpg.Record]]:
        """A key that lives and that the granter may have, which user made it, and which keys did,
        while nobody else changes this tenant.
        """
        await changed(connection, [granter.tenant_id])
        row = await connection.fetchrow(
            "SELECT * FROM api_keys WHERE id = $1 AND tenant_id = $2 FOR UPDATE",
            known_id(key_id),
            granter.tenant_id,
        )
        if row is None:
            raise NotFound("no such API key")
        key = api_key(row)
        require_all_of(granter, key)
        line = await line_of(connection, key.id)
        require_own(granter, line)
        now = datetime.now(UTC)
        if not key.is_active or (key.expires_at is not None and key.expires_at <= now):
            raise Conflict("the API key has ended already")
        return key, row["granted_by"], line[1:]

    async def _require_possible(
        self,
        connection: Connection,
        tenant_id: str,
        grant: KeyGrant,
        makers: Sequence[asyncpg.Record] = (),
    ) -> None:
        if grant.tier is not None and grant.tier not in self._plans:
            raise InvalidRequest(f"there is no plan '{grant.tier}'", "plan")
        made = above_made(self._plans, makers)
        require_within(within_hourly(grant), made)
        if grant.limits is None:
            return
        row = await connection.fetchrow(ABOVE, tenant_id, grant.user_id)
        if row is None:
            raise NotFound("no such tenant")
        require_within(grant.limits, above_key(self._plans[row["plan"]], row["limits"]))


def _own_tenant(granter: Principal, tenant_id: str | None) -> str:
    if tenant_id is None or tenant_id == granter.tenant_id:
        if Scope.ADMIN not in granter.scopes:
            granter.require(Scope.KEYS)
        return granter.tenant_id
    granter.require(Scope.ADMIN)
    return known_id(tenant_id)
