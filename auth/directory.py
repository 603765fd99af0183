"""The directory: tenants and API keys in PostgreSQL.

Place in the path: step 2 (identify) on a cache miss, and every account operation. It does not
cache; `auth/identify.py` does. A change commits here first and then renews the tenant's epoch, so
principals read before it are refused everywhere at their next request.
"""

import secrets
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import available_timezones

import asyncpg

from auth.accounts import ApiKey, IssuedKey, KeyGrant, Page, Tenant, Verification
from auth.database import Connection, Database
from auth.epochs import Epochs
from auth.grants import granted, require_all_of
from auth.keys import KeyHasher, display_prefix, key_id_of
from auth.paging import known_id, page_size
from auth.plans import HOUR_S, Limits, Meter, Plans
from auth.principal import Principal, Role, Scope
from auth.revisions import changed
from auth.roles import SCOPES
from auth.user_principals import PREFIX, UserPrincipals
from core.errors import Conflict, ExpiredKey, InvalidKey, InvalidRequest, NotFound, Unauthenticated

OPERATOR = "operator"
"""Id of the tenant that owns the installation."""
OPERATOR_PLAN = "enterprise"
FIRST_PLAN = "free"
TENANT_ID_BYTES = 8


class Directory:
    """Tenants and keys. Every method raises StoreUnavailable when a store does not answer.

    Args:
        database: PostgreSQL, migrated.
        epochs: where changes are announced.
        hasher: knows the pepper.
        plans: the plans that tenants and keys may have.
    """

    def __init__(self, database: Database, epochs: Epochs, hasher: KeyHasher, plans: Plans) -> None:
        self._database = database
        self._epochs = epochs
        self._hasher = hasher
        self._plans = plans
        self._limits = Limits(plans)
        self._users = UserPrincipals(database, epochs)

    async def bootstrap(self) -> IssuedKey | None:
        """Ensure the operator's tenant and its first key, which has every scope.

        The key when it was made now, else None. Safe to call at every start, from several places.
        """
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO tenants (id, name, plan) VALUES ($1, 'Operator', $2)"
                " ON CONFLICT DO NOTHING",
                OPERATOR,
                self._known_plan(OPERATOR_PLAN),
            )
            await connection.execute("SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE", OPERATOR)
            if await connection.fetchval("SELECT 1 FROM api_keys WHERE tenant_id = $1", OPERATOR):
                return None
            grant = KeyGrant(name="first key", scopes=frozenset(Scope))
            return await self._insert_key(connection, OPERATOR, grant)

    async def create_tenant(self, name: str, plan: str = FIRST_PLAN) -> Tenant:
        """A new tenant. Raises InvalidRequest for an unknown plan."""
        async with self._database.connection() as connection:
            return await self.add_tenant(connection, name, plan)

    async def add_tenant(self, connection: Connection, name: str, plan: str = FIRST_PLAN) -> Tenant:
        """As `create_tenant`, as a part of somebody's transaction."""
        row = await connection.fetchrow(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $2, $3) RETURNING *",
            f"t-{secrets.token_hex(TENANT_ID_BYTES)}",
            name,
            self._known_plan(plan),
        )
        return _tenant(row)

    async def describe(
        self, tenant_id: str, name: str | None = None, time_zone: str | None = None
    ) -> Tenant:
        """Change what a tenant is called, or where its days begin. Raises NotFound, InvalidRequest
        for what is no IANA time zone.
        """
        if time_zone is not None and time_zone not in _time_zones():
            raise InvalidRequest("there is no such time zone", "time_zone")
        tenant_id = known_id(tenant_id)
        row = await self._database.of(tenant_id).row(
            "UPDATE tenants SET name = coalesce($2, name), time_zone = coalesce($3, time_zone),"
            " revision = revision + 1 WHERE id = $1 RETURNING *",
            tenant_id,
            name,
            time_zone,
        )
        tenant = _tenant(row)
        await self.announce()
        return tenant

    async def tenant(self, tenant_id: str) -> Tenant:
        """One tenant. Raises NotFound."""
        own = self._database.of(known_id(tenant_id))
        return _tenant(await own.row("SELECT * FROM tenants WHERE id = $1", tenant_id))

    async def tenants(self, after: str | None = None, limit: int = 20) -> Page[Tenant]:
        """Tenants, oldest first."""
        limit = page_size(limit)
        rows = await self._database.fetch(
            "SELECT * FROM tenants WHERE $1::text IS NULL OR (created_at, id) >"
            " (SELECT created_at, id FROM tenants WHERE id = $1)"
            " ORDER BY created_at, id LIMIT $2",
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_tenant(row) for row in rows[:limit]), len(rows) > limit)

    async def set_plan(self, tenant_id: str, plan: str) -> Tenant:
        """Move a tenant to another plan, at once. Raises NotFound, InvalidRequest."""
        return await self._change(
            tenant_id,
            "UPDATE tenants SET plan = $2, revision = revision + 1 WHERE id = $1 RETURNING *",
            self._known_plan(plan),
        )

    async def set_active(self, tenant_id: str, *, active: bool) -> Tenant:
        """Switch a tenant, and with it all its keys and users, off or on.

        Raises NotFound, Conflict for the operator's own, which could not switch itself on again.
        """
        if tenant_id == OPERATOR and not active:
            raise Conflict("the operator's own tenant stays active")
        return await self._change(
            tenant_id,
            "UPDATE tenants SET is_active = $2, revision = revision + 1 WHERE id = $1 RETURNING *",
            active,
        )

    async def deactivate(self, tenant_id: str) -> Tenant:
        """Switch a tenant off. Raises NotFound."""
        return await self.set_active(tenant_id, active=False)

    async def create_key(
        self, granter: Principal, grant: KeyGrant, tenant_id: str | None = None
    ) -> IssuedKey:
        """A new key of the granter's tenant; of another tenant when the granter is an admin.

        Raises Forbidden when the granter lacks the scope to make keys or grants more than it
        has, NotFound for another tenant's id, InvalidRequest for an unknown tier.
        """
        owner = self._own_tenant(granter, tenant_id)
        if grant.tier is not None:
            self._known_plan(grant.tier)
        allowed = granted(granter, grant)
        if allowed.user_id is None and granter.granted_by is not None:
            allowed = allowed.model_copy(update={"user_id": granter.user_id})
        async with self._database.of(owner).transaction() as connection:
            return await self._insert_key(connection, owner, allowed, granter.granted_by)

    async def rotate_key(self, granter: Principal, key_id: str, grace_s: float = 0.0) -> IssuedKey:
        """A successor with the same rights; the key itself ends after the grace.

        Raises NotFound, Forbidden for a key that may do more than the granter, Conflict for one
        that has ended.
        """
        async with self._database.of(granter.tenant_id).transaction() as connection:
            await changed(connection, [granter.tenant_id])
            row = await connection.fetchrow(
                "SELECT * FROM api_keys WHERE id = $1 AND tenant_id = $2 FOR UPDATE",
                known_id(key_id),
                granter.tenant_id,
            )
            if row is None:
                raise NotFound("no such API key")
            key = _api_key(row)
            require_all_of(granter, key)
            now = datetime.now(UTC)
            if not key.is_active or (key.expires_at is not None and key.expires_at <= now):
                raise Conflict("the API key has ended already")
            await connection.execute(
                "UPDATE api_keys SET expires_at = least(expires_at, $2), is_active = $3,"
                " revoked_at = CASE WHEN $3 THEN revoked_at ELSE $2 END WHERE id = $1",
                key.id,
                now + timedelta(seconds=grace_s),
                grace_s > 0,
            )
            issued = await self._insert_key(
                connection,
                granter.tenant_id,
                _grant_of(key),
                granter.granted_by or row["granted_by"],
                rotated_from=key.id,
            )
        await self.announce()
        return issued

    async def keys(self, tenant_id: str, after: str | None = None, limit: int = 20) -> Page[ApiKey]:
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
        return Page(tuple(_api_key(row) for row in rows[:limit]), len(rows) > limit)

    async def revoke_key(self, tenant_id: str, key_id: str) -> ApiKey:
        """End a key of this tenant, everywhere at once; repeating it changes nothing.

        Raises NotFound, also for a key of another tenant.
        """
        tenant_id = known_id(tenant_id)
        async with self._database.of(tenant_id).transaction() as connection:
            await changed(connection, [tenant_id])
            row = await connection.fetchrow(
                "UPDATE api_keys SET is_active = false, revoked_at = coalesce(revoked_at, now())"
                " WHERE id = $1 AND tenant_id = $2 RETURNING *",
                known_id(key_id),
                tenant_id,
            )
            if row is None:
                raise NotFound("no such API key")
        await self.announce()
        return _api_key(row)

    async def verify(self, key: str) -> Verification:
        """Whether `key` is good, and its tier and quota: the answer S2's clients ask for."""
        try:
            principal = await self.principal_for(key)
        except Unauthenticated as error:
            return Verification(valid=False, code=error.code)
        hourly = [
            window.limit
            for _, windows in self._limits.scopes(principal)
            for window in windows
            if window.meter is Meter.REQUESTS and window.seconds == HOUR_S
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

    async def principal_for(self, key: str) -> Principal:
        """Who `key` acts for.

        Raises InvalidKey for a key that is unknown, revoked or of an inactive tenant, ExpiredKey
        for one whose time is over.
        """
        key_id = key_id_of(key)
        if key_id is None:
            raise InvalidKey("the API key is not valid")
        return await self._good(key_id, key)

    async def principal_of(self, key_id: str) -> Principal:
        """Who the key of that id acts for: for work that goes on when its request is over.

        Raises InvalidKey, ExpiredKey: a job ends with the key that it was asked for with, or with
        its user's membership.
        """
        if key_id.startswith(PREFIX):
            return await self._users.of_key_id(key_id)
        return await self._good(key_id, None)

    async def _good(self, key_id: str, key: str | None) -> Principal:
        """The principal of a key's id; `key`, where one was presented, must be that key."""
        owner = await self._database.row("SELECT tenant_id FROM api_keys WHERE id = $1", key_id)
        if owner is None:
            raise InvalidKey("the API key is not valid")
        epoch = await self._epochs.read(owner["tenant_id"])  # before the facts: see auth/epochs.py
        row = await self._database.row(
            "SELECT k.*, t.plan, t.time_zone, m.role,"
            " k.is_active AND t.is_active AND k.revoked_at IS NULL"
            " AND (k.granted_by IS NULL OR (m.role IS NOT NULL AND u.is_active)) AS is_good"
            " FROM api_keys k JOIN tenants t ON t.id = k.tenant_id"
            " LEFT JOIN users u ON u.id = k.granted_by"
            " LEFT JOIN memberships m ON m.user_id = k.granted_by AND m.tenant_id = k.tenant_id"
            " WHERE k.id = $1",
            key_id,
        )
        if row is None or not row["is_good"]:
            raise InvalidKey("the API key is not valid")
        if key is not None and not self._hasher.matches(key, row["key_hash"]):
            raise InvalidKey("the API key is not valid")
        if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
            raise ExpiredKey("the API key has expired")
        return _principal(row, epoch)

    async def epoch(self, tenant_id: str) -> str:
        """The version of the tenant's keys and plan, as every gateway sees it."""
        return await self._epochs.read(tenant_id)

    async def announce(self) -> int:
        """Renew the epoch of every tenant that changed since its last announcement; how many.

        Called after each change, and regularly by the ledger writer: a change that committed
        while Valkey was away is announced as soon as it is back.
        """
        rows = await self._database.fetch(
            "SELECT id, revision FROM tenants WHERE announced_revision < revision"
        )
        for row in rows:
            await self._epochs.renew(row["id"])
            await self._database.execute(
                "UPDATE tenants SET announced_revision = greatest(announced_revision, $2)"
                " WHERE id = $1",
                row["id"],
                row["revision"],
            )
        return len(rows)

    async def _change(self, tenant_id: str, update: str, *values: object) -> Tenant:
        tenant = _tenant(await self._database.row(update, known_id(tenant_id), *values))
        await self.announce()
        return tenant

    async def _insert_key(
        self,
        connection: Connection,
        tenant_id: str,
        grant: KeyGrant,
        granted_by: str | None = None,
        rotated_from: str | None = None,
    ) -> IssuedKey:
        new = self._hasher.generate()
        try:
            row = await connection.fetchrow(
                "INSERT INTO api_keys (id, tenant_id, user_id, key_name, key_hash, tier,"
                " requests_per_hour, scopes, allowed_models, expires_at, granted_by, rotated_from)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *",
                new.key_id,
                tenant_id,
                grant.user_id,
                grant.name,
                new.digest,
                grant.tier,
                grant.requests_per_hour,
                sorted(scope.value for scope in grant.scopes),
                None if grant.allowed_models is None else sorted(grant.allowed_models),
                grant.expires_at,
                granted_by,
                rotated_from,
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise NotFound("no such tenant") from error
        assert row is not None
        return IssuedKey(_api_key(row), new.secret)

    def _known_plan(self, plan: str) -> str:
        if plan not in self._plans:
            raise InvalidRequest(f"there is no plan '{plan}'", "plan")
        return plan

    def _own_tenant(self, granter: Principal, tenant_id: str | None) -> str:
        if tenant_id is None or tenant_id == granter.tenant_id:
            if Scope.ADMIN not in granter.scopes:
                granter.require(Scope.KEYS)
            return granter.tenant_id
        granter.require(Scope.ADMIN)
        return known_id(tenant_id)


@cache
def _time_zones() -> set[str]:
    return available_timezones()


def _tenant(row: asyncpg.Record | None) -> Tenant:
    if row is None:
        raise NotFound("no such tenant")
    return Tenant(
        row["id"],
        row["name"],
        row["plan"],
        row["is_active"],
        row["created_at"],
        row["time_zone"],
    )


def _api_key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        name=row["key_name"],
        prefix=display_prefix(row["id"]),
        tier=row["tier"],
        requests_per_hour=row["requests_per_hour"],
        scopes=_scopes(row),
        allowed_models=_models(row),
        is_active=row["is_active"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        rotated_from=row["rotated_from"],
    )


def _grant_of(key: ApiKey) -> KeyGrant:
    return KeyGrant(
        name=key.name,
        user_id=key.user_id,
        scopes=key.scopes,
        allowed_models=key.allowed_models,
        tier=key.tier,
        requests_per_hour=key.requests_per_hour,
        expires_at=key.expires_at,
    )


def _principal(row: asyncpg.Record, epoch: str) -> Principal:
    scopes = _scopes(row)
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
        allowed_models=_models(row),
        key_requests_per_hour=row["requests_per_hour"],
        tier=row["tier"],
        expires_at=row["expires_at"],
        granted_by=row["granted_by"],
    )


def _scopes(row: asyncpg.Record) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in row["scopes"])


def _models(row: asyncpg.Record) -> frozenset[str] | None:
    models = row["allowed_models"]
    return None if models is None else frozenset(models)
