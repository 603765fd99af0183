"""Row-level security: what one tenant's statements can reach, whatever they say."""

import json
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from auth.database import Connection, Database, TenantDatabase
from auth.months import Months, after, month_of, partition_of

FAR = datetime(2033, 5, 15, tzinfo=UTC)
BY_HAND = {"tenants", "users"}
"""Carry a tenant in another way than by a column `tenant_id`."""
CARRYING = """
    SELECT c.table_name AS name, r.relrowsecurity AS is_secured, r.oid,
        (SELECT count(*) FROM pg_policy WHERE polrelid = r.oid
            AND pg_get_expr(polqual, polrelid) LIKE '%carillon.tenant%') AS policies,
        (SELECT count(*) FROM pg_policy WHERE polrelid = r.oid) AS all_policies
    FROM information_schema.columns c
    JOIN pg_class r ON r.oid = format('%I.%I', c.table_schema, c.table_name)::regclass
    WHERE c.column_name = 'tenant_id' OR c.table_name = ANY ($1) AND c.column_name = 'id'
    AND c.table_schema = current_schema()
"""
REACHABLE = """
    SELECT t.table_schema || '.' || t.table_name AS name, r.relrowsecurity AS is_secured
    FROM information_schema.tables t
    JOIN pg_class r ON r.oid = format('%I.%I', t.table_schema, t.table_name)::regclass
    WHERE t.table_schema NOT IN ('pg_catalog', 'information_schema')
    AND (has_any_column_privilege('carillon_tenant', r.oid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege('carillon_tenant', r.oid, 'DELETE, TRUNCATE, TRIGGER'))
"""
COLUMNS = """
    SELECT relname::text AS table_name, privilege AS privilege_type,
        array_agg(attname::text ORDER BY attname) AS names
    FROM pg_class r JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0 AND NOT attisdropped
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
    WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace
    AND attgenerated = '' AND has_column_privilege('carillon_tenant', r.oid, attnum, privilege)
    GROUP BY 1, 2
"""


class Undone(Exception):
    """Ends a transaction without its changes."""


@pytest.fixture
async def pair(database: Database) -> tuple[str, str]:
    """Two tenants with rows in every table."""
    mark = secrets.token_hex(4)
    pair = (f"t-a{mark}", f"t-b{mark}")
    async with database.transaction() as connection:
        for tenant in pair:
            await fill(connection, tenant)
    return pair


async def fill(connection: Connection, tenant: str) -> None:
    own = f"{tenant}-{secrets.token_hex(4)}"
    blob = secrets.token_hex(32)
    for statement, *values in (
        ("INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')", tenant),
        ("INSERT INTO users (id, name, password_hash) VALUES ($1, 'x', 'secret')", own),
        ("INSERT INTO memberships VALUES ($1, $2, 'owner')", tenant, own),
        (
            (
                "INSERT INTO invitations (id, tenant_id, email, role, token_digest, expires_at)"
                " VALUES ($2, $1, 'a@b', 'viewer', $2::text::bytea, now())"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO refresh_tokens (id, family, user_id, tenant_id, digest, expires_at)"
                " VALUES ($2, $2, $2, $1, $2::text::bytea, now())"
            ),
            *(tenant, own),
        ),
        ("INSERT INTO user_identities VALUES ('idp', $2, $1, $2)", tenant, own),
        (
            (
                "INSERT INTO api_keys (id, tenant_id, key_name, key_hash, scopes)"
                " VALUES ($2, $1, 'x', $2::text::bytea, '{}')"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO usage_records (request_id, tenant_id, api_key_id, status, admitted_at)"
                " VALUES ($2, $1, 'k', 'settled', $3)"
            ),
            *(tenant, own, FAR),
        ),
        (
            (
                "INSERT INTO media (tenant_id, hash, owner, media_type, bytes)"
                " VALUES ($1, $2, 'o', 'image/png', 1)"
            ),
            *(tenant, blob),
        ),
        ("INSERT INTO media_storage VALUES ($1, 1)", tenant),
        ("INSERT INTO media_holders VALUES ($1, $2, 1)", tenant, own),
        (
            (
                "INSERT INTO usage_totals VALUES"
                " ($1, $3, 'k', 'm', $2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 900)"
            ),
            *(tenant, own, FAR),
        ),
        (
            (
                "INSERT INTO gallery_items"
                " (id, tenant_id, hash, hashes, prompt, model, size, stages)"
                " VALUES ($2, $1, $3, ARRAY[$3], 'x', 'm', '1x1', '[]')"
            ),
            *(tenant, own, blob),
        ),
        (
            (
                "INSERT INTO apps (id, tenant_id, model, kind, name, framework, description,"
                " facts, files, bytes, page)"
                " VALUES ($2, $1, 'm', 'app', 'x', 'react', 'x', '{}', '{}', 0, 'x')"
            ),
            *(tenant, own),
        ),
        (
            "INSERT INTO app_deployments (id, tenant_id, app_id, hash) VALUES ($2, $1, $2, 'h')",
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO jobs (id, tenant_id, api_key_id, kind, request)"
                " VALUES ($2, $1, 'k', 'batch', '{}')"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO files (id, tenant_id, filename, purpose, hash, bytes)"
                " VALUES ($2, $1, 'f', 'batch', 'h', 1)"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO rag_passages (tenant_id, collection, document, position, text,"
                " metadata, dimensions, embedding) VALUES ($1, 'c', $2, 0, 'x', '{}', 2, '[1,2]')"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO workflow_steps (run_id, tenant_id, step, status, change)"
                " VALUES ($2, $1, 's', 'running', 1)"
            ),
            *(tenant, own),
        ),
        (
            (
                "INSERT INTO rag_collections (tenant_id, name, model, embedding)"
                " VALUES ($1, $2, 'rag', 'e')"
            ),
            *(tenant, own),
        ),
        (
            "INSERT INTO rag_documents (tenant_id, collection, id) VALUES ($1, $2, $2)",
            *(tenant, own),
        ),
    ):
        await connection.execute(statement, *values)


async def tables(database: Database) -> list[str]:
    """Every table that carries a tenant, partitions aside: those are reached through the ledger."""
    rows = await database.fetch(CARRYING, list(BY_HAND))
    return sorted(r["name"] for r in rows if not r["name"].startswith("usage_records_"))


async def granted(database: Database) -> dict[tuple[str, str], list[str]]:
    """Columns by table and privilege."""
    return {
        (row["table_name"], row["privilege_type"]): row["names"]
        for row in await database.fetch(COLUMNS)
    }


def tenant_column(table: str) -> str:
    return {
        "tenants": "id",
        "users": "split_part(id, '-', 1) || '-' || split_part(id, '-', 2)",
    }.get(table, "tenant_id")


async def count(database: Database, table: str, tenant: str) -> int:
    row = await database.row(
        f"SELECT count(*) AS rows FROM {table} WHERE {tenant_column(table)} = $1", tenant
    )
    assert row is not None
    return int(row["rows"])


async def test_every_table_that_carries_a_tenant_has_a_policy(database: Database):
    """A new table fails here until its migration says who sees it."""
    found = await database.fetch(CARRYING, list(BY_HAND))
    assert {"api_keys", "usage_records", "usage_records_other", "jobs", *BY_HAND} <= {
        row["name"] for row in found
    }
    for row in found:
        assert row["is_secured"], f"{row['name']} has no row-level security"
        assert row["policies"] == row["all_policies"] == 1, f"{row['name']} has no policy by tenant"


async def test_a_tenant_reaches_no_table_without_row_level_security(database: Database):
    reachable = {r["name"]: r["is_secured"] for r in await database.fetch(REACHABLE)}
    assert all(reachable.values()), reachable
    assert "public.files" in reachable


async def test_a_statement_without_where_reads_one_tenant(database: Database, pair):
    mine, theirs = pair
    columns = await granted(database)
    for table in await tables(database):
        assert await count(database, table, theirs) == 1, f"the test has no rows in {table}"
        names = columns.get((table, "SELECT"))
        if names is None:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.of(mine).fetch(f"SELECT * FROM {table}")
            continue
        rows = await database.of(mine).fetch(f"SELECT {', '.join(names)} FROM {table}")
        assert len(rows) == 1, table
        assert mine in str(rows) or table == "users", table
        assert theirs not in str(rows), table


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
async def test_a_statement_without_where_changes_one_tenant(database: Database, pair, verb: str):
    mine, theirs = pair
    columns = await granted(database)
    for table in await tables(database):
        key = "id" if table in BY_HAND else "tenant_id"
        name = columns.get((table, "UPDATE"), [key])[0]
        statement = (
            f"DELETE FROM {table}" if verb == "DELETE" else f"UPDATE {table} SET {name} = {name}"
        )
        if not await may(database, verb, table):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.of(mine).execute(statement)
            continue
        with suppress(Undone):
            async with database.of(mine).transaction() as connection:
                assert await connection.execute(statement) == f"{verb} 1", table
                raise Undone
        assert await count(database, table, theirs) == 1


async def test_a_tenant_makes_no_row_of_another(database: Database, pair):
    mine, theirs = pair
    columns = await granted(database)
    for table in await tables(database):
        names = columns.get((table, "INSERT"))
        if names is None:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await database.of(mine).execute(f"INSERT INTO {table} DEFAULT VALUES")
            continue
        row = await a_copy(database, table, theirs)
        insert = (
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)}"
            f" FROM jsonb_populate_record(null::{table}, $1) ON CONFLICT DO NOTHING"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await database.of(mine).execute(insert, json.dumps(row))
        if table == "gallery_items":
            await keep(database, mine, row["hash"])
        # The same row is welcome as its own.
        await database.of(mine).execute(insert, json.dumps(row | {"tenant_id": mine}))
        assert await count(database, table, theirs) == 1


async def keep(database: Database, tenant: str, blob: str) -> None:
    """Media of a tenant, which rows of other tables name."""
    await database.execute(
        "INSERT INTO media (tenant_id, hash, owner, media_type, bytes)"
        " VALUES ($1, $2, 'o', 'image/png', 1)",
        tenant,
        blob,
    )


async def may(database: Database, verb: str, table: str) -> bool:
    """Whether a tenant's statements may do that to its rows of a table."""
    row = await database.row(
        "SELECT CASE WHEN $1 = 'DELETE' THEN has_table_privilege('carillon_tenant', $2, $1)"
        " ELSE has_any_column_privilege('carillon_tenant', $2, $1) END AS may",
        verb,
        table,
    )
    assert row is not None
    return bool(row["may"])


async def a_copy(database: Database, table: str, tenant: str) -> dict[str, Any]:
    """A row of a tenant under other unique values."""
    found = await database.row(
        f"SELECT to_jsonb(t) AS row FROM {table} t WHERE {tenant_column(table)} = $1", tenant
    )
    assert found is not None
    row: dict[str, Any] = json.loads(found["row"])
    fresh = secrets.token_hex(32)
    return row | {
        name: value
        for name, value in {
            **dict.fromkeys(("id", "request_id", "hash"), fresh),
            **dict.fromkeys(("token_digest", "digest", "key_hash"), f"\\x{fresh}"),
        }.items()
        if name in row
    }


async def test_a_tenant_gives_no_row_away(database: Database, pair):
    mine, theirs = pair
    for table in ("files", "jobs", "media", "api_keys", "invitations"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await database.of(mine).execute(f"UPDATE {table} SET tenant_id = $1", theirs)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT password_hash FROM users",
        "SELECT digest FROM refresh_tokens",
        "UPDATE tenants SET plan = 'enterprise'",
        "UPDATE usage_records SET money = 0",
        "DELETE FROM usage_records",
        "SELECT * FROM usage_records_other",
        "SELECT * FROM media_garbage",
        "SELECT * FROM alembic_version",
        "SELECT * FROM dbos.workflow_status",
        "CREATE TABLE own (id text)",
    ],
)
async def test_a_tenant_may_not(database: Database, pair, statement: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.of(pair[0]).execute(statement)


@pytest.mark.usefixtures("pair")
async def test_without_a_tenant_there_are_no_rows(database: Database):
    columns = await granted(database)
    readable = {table: names for (table, what), names in columns.items() if what == "SELECT"}
    assert len(readable) > 8
    for table, names in readable.items():
        query = f"SELECT {names[0]} FROM {table}"
        assert await database.fetch(query)
        assert not await database.of("").fetch(query), table
        async with database.transaction() as connection:  # nobody said which tenant
            await connection.execute("SET LOCAL ROLE carillon_tenant")
            assert not await connection.fetch(query), table


async def test_a_new_month_of_the_ledger_is_covered(database: Database, pair):
    mine, theirs = pair
    await Months(database).prepare(FAR)
    name = partition_of(month_of(FAR))
    try:
        (own,) = await database.of(mine).fetch("SELECT *, tableoid FROM usage_records")
        assert own["tenant_id"] == mine
        found = await database.fetch(CARRYING, list(BY_HAND))
        (month,) = (row for row in found if row["name"] == name)
        assert month["oid"] == own["tableoid"]
        assert month["is_secured"]
        assert month["policies"] == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.of(mine).fetch(f"SELECT * FROM {name}")
        # Nor does somebody see more who was given the month's table by hand.
        await database.execute(f"GRANT SELECT ON {name} TO carillon_tenant")
        assert len(await database.of(theirs).fetch(f"SELECT * FROM {name}")) == 1
    finally:
        for first in (month_of(FAR), after(month_of(FAR))):
            await database.execute(f"DROP TABLE IF EXISTS {partition_of(first)}")


async def test_a_connection_goes_back_to_the_pool_as_it_came(database_url: str, pair):
    one = Database(SecretStr(database_url), connections=1)
    assert await standing(one) == ("postgres", "")
    assert await standing(one.of(pair[0])) == ("carillon_tenant", pair[0])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await one.of(pair[0]).execute("DELETE FROM usage_records")
    assert await standing(one) == ("postgres", "")
    assert await standing(one.of(pair[1])) == ("carillon_tenant", pair[1])
    await one.aclose()


async def standing(database: Database | TenantDatabase) -> tuple[str, str]:
    """As whom, and for whom, statements run."""
    row = await database.row(
        "SELECT current_user::text, coalesce(current_setting('carillon.tenant', true), '')"
    )
    assert row is not None
    return row[0], row[1]


async def test_a_prepared_statement_serves_each_tenant_its_own_rows(database_url: str, pair):
    """Statements are prepared once per connection, plans with them."""
    one = Database(SecretStr(database_url), connections=1)
    query = "SELECT tenant_id FROM files WHERE tenant_id = ANY ($1)"
    for _ in range(8):
        assert len(await one.fetch(query, list(pair))) == 2
        for tenant in pair:
            rows = await one.of(tenant).fetch(query, list(pair))
            assert [row["tenant_id"] for row in rows] == [tenant]
    await one.aclose()
