import asyncio
import secrets

import asyncpg
import pytest

from auth.migrate import migrate
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
