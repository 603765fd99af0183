"""The directory: tenants in PostgreSQL, and the way to their API keys.

Place in the path: step 2 (identify) on a cache miss, and every account operation. Keys are made and
changed by `auth/api_keys.py` and read by `auth/key_principals.py`. Nothing is cached here;
`auth/identify.py` does. A change commits here first and then renews the tenant's epoch, so
principals read before it are refused everywhere at their next request.
"""

import secrets
from functools import cache
from zoneinfo import available_timezones

import asyncpg

from auth.accounts import IssuedKey, KeyGrant, Page, Tenant
from auth.api_keys import ApiKeys
from auth.database import Connection, Database
from auth.epochs import Epochs
from auth.key_principals import KeyPrincipals
from auth.key_rows import insert_key
from auth.keys import KeyHasher
from auth.limits import Limits
from auth.paging import known_id, page_size
from auth.plans import Plans
from auth.principal import Principal, Scope
from auth.user_principals import PREFIX, UserPrincipals
from core.errors import Conflict, InvalidRequest, NotFound

OPERATOR = "operator"
"""Id of the tenant that owns the installation."""
OPERATOR_PLAN = "enterprise"
FIRST_PLAN = "free"
TENANT_ID_BYTES = 8


class Directory:
    """Tenants; `keys` are theirs, `principals` whom keys act for.

    Every method raises StoreUnavailable when a store does not answer.

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
        self.plans = plans
        self._users = UserPrincipals(database, epochs)
        self.keys = ApiKeys(database, self.announce, hasher, plans)
        self.principals = KeyPrincipals(database, epochs, hasher, Limits(plans))

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
            return await insert_key(connection, self._hasher, OPERATOR, grant)

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
        if time_zone is not None and time_zone not in time_zones():
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

    async def plans_in_use(self) -> set[str]:
        """Names of the plans that tenants have, and keys as their tier."""
        rows = await self._database.fetch(
            "SELECT plan AS name FROM tenants UNION"
            " SELECT tier FROM api_keys WHERE tier IS NOT NULL AND is_active"
        )
        return {row["name"] for row in rows}

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

    async def principal_for(self, key: str) -> Principal:
        """Who an API key acts for. Raises InvalidKey, ExpiredKey."""
        return await self.principals.of(key)

    async def principal_of(self, key_id: str) -> Principal:
        """Who the key of that id acts for: for work that goes on when its request is over.

        Raises InvalidKey, ExpiredKey: a job ends with the key that it was asked for with, or with
        its user's membership.
        """
        if key_id.startswith(PREFIX):
            return await self._users.of_key_id(key_id)
        return await self.principals.of_key_id(key_id)

    async def epoch(self, tenant_id: str) -> str:
        """The version of the tenant's keys and plan, as every gateway sees it."""
        return await self._epochs.read(tenant_id)

    async def announce(self) -> int:
        """Renew the epoch of every tenant that changed since its last announcement; how many.

        Called after each change, and regularly by the ledger writer: a change that committed
        while Valkey was away is announced as soon as it is back. Of several who call it at the same
        time one renews, and the others wait for that: each renewal makes all of a tenant's
        principals be read again.
        """
        rows = await self._database.fetch(
            "SELECT id FROM tenants WHERE announced_revision < revision"
        )
        return sum([await self._announce(row["id"]) for row in rows])

    async def _announce(self, tenant_id: str) -> bool:
        """Whether there was still something to announce."""
        async with self._database.transaction() as connection:
            revision = await connection.fetchval(
                "SELECT revision FROM tenants WHERE id = $1 AND announced_revision < revision"
                " FOR NO KEY UPDATE",
                tenant_id,
            )
            if revision is None:
                return False
            await self._epochs.renew(tenant_id)
            await connection.execute(
                "UPDATE tenants SET announced_revision = $2 WHERE id = $1", tenant_id, revision
            )
            return True

    async def _change(self, tenant_id: str, update: str, *values: object) -> Tenant:
        tenant = _tenant(await self._database.row(update, known_id(tenant_id), *values))
        await self.announce()
        return tenant

    def _known_plan(self, plan: str) -> str:
        if plan not in self.plans:
            raise InvalidRequest(f"there is no plan '{plan}'", "plan")
        return plan


@cache
def time_zones() -> set[str]:
    """Names that a tenant may choose: those that mean the same on every machine."""
    return available_timezones() - {"localtime", "Factory"}


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
