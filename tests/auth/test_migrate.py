import asyncio
import io
import secrets
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr

import auth.migrate
from auth.database import Database
from auth.migrate import migrate
from auth.months import Months
from auth.tenant_role import ensure_role
from core.errors import SettingsError, StoreUnavailable
from tests.auth.servers import PostgreSQL


@pytest.fixture
def url(postgres_server: PostgreSQL) -> str:
    return postgres_server.create_database(f"m{secrets.token_hex(4)}")


def value(url: str, query: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_migrating_again_changes_nothing(url: str):
    migrate(url)
    once = value(url, "SELECT version_num FROM alembic_version")
    migrate(url)
    assert value(url, "SELECT version_num FROM alembic_version") == once
    assert value(url, "SELECT count(*) FROM usage_records") == 0


async def test_starts_at_once_take_turns(url: str):
    await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
    found = await asyncio.to_thread(value, url, "SELECT count(*) FROM alembic_version")
    assert found == 1


def test_a_database_newer_than_the_code_is_refused(url: str):
    migrate(url)
    value(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="9999"):
        migrate(url)


def test_no_server_is_unavailable():
    with pytest.raises(StoreUnavailable):
        migrate("postgresql://postgres@/carillon?host=/nowhere")


OLD = """
INSERT INTO tenants (id, name, plan) VALUES ('t1', 'One', 'pro'), ('t2', 'Two', 'free');
INSERT INTO users (id, email, name) VALUES ('u1', 'ada@example.com', 'Ada');
INSERT INTO memberships (tenant_id, user_id, role) VALUES ('t1', 'u1', 'owner');
INSERT INTO api_keys (id, tenant_id, user_id, key_name, key_hash, scopes)
    VALUES ('k1', 't1', 'u1', 'old', '\\x00', '{inference}');
INSERT INTO media (tenant_id, hash, owner, media_type, bytes)
    VALUES ('t1', repeat('ab', 32), 'o', 'a/b', 3);
INSERT INTO jobs (id, tenant_id, api_key_id, kind, request)
    VALUES ('j1', 't1', 'k1', 'batch', '{}');
INSERT INTO files (id, tenant_id, filename, purpose, hash, bytes)
    VALUES ('f1', 't1', 'a', 'batch', 'ab', 3);
INSERT INTO usage_records (request_id, tenant_id, api_key_id, status, admitted_at, money,
    input_tokens, output_tokens)
VALUES ('r1', 't1', 'k1', 'settled', '2026-08-05', 0.000000155, 3, 4),
    ('r2', 't2', 'k2', 'settled', '2026-08-06', 1, 5, 6),
    ('r3', 't1', 'k1', 'admitted', '2031-01-01', 0, 0, 0);
"""
"""What an installation of revision 0006 may hold: a month has its own table, and one has none."""
MONTH = """
CREATE TABLE usage_records_2026_08 PARTITION OF usage_records
    FOR VALUES FROM ('2026-08-01 00:00+00') TO ('2026-09-01 00:00+00')
"""


def configured(output: io.StringIO) -> Config:
    config = Config(output_buffer=output, stdout=io.StringIO())
    config.set_main_option("script_location", str(auth.migrate.MIGRATIONS))
    return config


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await ensure_role(connection)
        for statement in statements:
            await connection.execute(statement)
    await connection.close()


async def made_by(revision: str, url: str) -> None:
    """The tables as that revision left them."""
    tables = io.StringIO()
    command.upgrade(configured(tables), f"base:{revision}", sql=True)
    await run(url, tables.getvalue(), MONTH, OLD)


async def test_an_old_database_keeps_its_rows_and_gets_its_policies(url: str):
    await made_by("0006", url)
    await asyncio.to_thread(migrate, url)
    database = Database(SecretStr(url))
    try:
        found = await database.fetch("SELECT * FROM usage_records")
        rows = {row["request_id"]: row for row in found}
        assert rows["r1"]["money"] == Decimal("0.000000155")
        assert (rows["r1"]["total_tokens"], rows["r1"]["device_seconds"]) == (7, 0.0)
        key = await database.row("SELECT * FROM api_keys WHERE id = 'k1'")
        assert key is not None
        assert (key["key_name"], key["limits"]) == ("old", None)
        # A month that was made before, one that had none, and one that is made now.
        await Months(database).prepare(datetime(2031, 1, 1, tzinfo=UTC))
        for tenant, requests in (("t1", {"r1", "r3"}), ("t2", {"r2"}), ("t3", set())):
            own = database.of(tenant)
            seen = await own.fetch("SELECT request_id FROM usage_records")
            assert {row["request_id"] for row in seen} == requests
            sums = await own.fetch("SELECT seconds, requests FROM usage_totals")
            for seconds in (900, 86_400):
                counted = [row["requests"] for row in sums if row["seconds"] == seconds]
                assert sum(counted) == len(requests)
            for table in ("api_keys", "memberships", "media", "jobs", "files", "users"):
                found = await own.fetch(f"SELECT 1 FROM {table}")  # ours
                assert bool(found) == (tenant == "t1"), table
        unguarded = await database.fetch(
            "SELECT relname FROM pg_class WHERE relname ~ '^usage_records'"
            " AND relkind IN ('r', 'p') AND NOT relrowsecurity"
        )
        assert not unguarded
        found = await database.fetch(
            "SELECT tablename FROM pg_indexes WHERE indexdef LIKE '%trace_id%' ORDER BY 1"
        )
        months = ("2026_08", "2031_01", "2031_02", "other")
        assert [row["tablename"] for row in found] == [
            "usage_records",
            *(f"usage_records_{month}" for month in months),
        ]
    finally:
        await database.aclose()


async def test_what_came_since_can_be_taken_back_and_made_again(url: str):
    await made_by("0006", url)
    await asyncio.to_thread(migrate, url)
    back = io.StringIO()
    newest = ScriptDirectory.from_config(configured(back)).get_current_head()
    command.downgrade(configured(back), f"{newest}:0006", sql=True)
    await run(url, back.getvalue())
    assert await asyncio.to_thread(value, url, "SELECT count(*) FROM pg_policies") == 0
    await asyncio.to_thread(migrate, url)
    tokens = "SELECT sum(total_tokens)::int FROM usage_records"
    assert await asyncio.to_thread(value, url, tokens) == 18
