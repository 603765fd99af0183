"""The role of row-level security on servers of others: users with fewer rights than the embedded
server's.
"""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.migrate import migrate
from core.errors import SettingsError
from tests.auth.servers import PostgreSQL


@pytest.fixture
def server(store_directory: Path) -> Iterator[PostgreSQL]:
    """A server that has never seen Carillon: roles are the server's, not the database's."""
    server = PostgreSQL(store_directory / f"pg-{secrets.token_hex(3)}")
    server.start()
    yield server
    server.stop()


def sql(url: str, *statements: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def owned(server: PostgreSQL, user: str, options: str) -> tuple[str, str]:
    """URLs of a database of `user`'s own, with pgvector: as `user`, as the administrator."""
    admin = server.create_database(user)
    sql(admin, f"CREATE ROLE {user} LOGIN {options}", f"ALTER DATABASE {user} OWNER TO {user}")
    sql(admin, "CREATE EXTENSION vector")
    return admin.replace("postgres@", f"{user}@"), admin


def seen(url: str, tenant: str) -> tuple[int, int]:
    """How many tenants the services see, and how many this tenant sees."""

    async def run() -> tuple[int, int]:
        database = Database(SecretStr(url))
        for each in ("a", "b"):
            await database.execute(
                "INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')"
                " ON CONFLICT DO NOTHING",
                each,
            )
        everything = await database.fetch("SELECT 1 FROM tenants")
        own = await database.of(tenant).fetch("SELECT 1 FROM tenants")
        await database.aclose()
        return len(everything), len(own)

    return asyncio.run(run())


def test_a_user_who_may_make_roles_needs_no_help(server: PostgreSQL):
    url, _ = owned(server, "builder", "CREATEROLE")
    migrate(url)
    migrate(url)
    assert seen(url, "a") == (2, 1)
    assert seen(url, "") == (2, 0)


def test_a_user_who_may_not_is_told_what_to_have_run(server: PostgreSQL):
    url, admin = owned(server, "plain", "")
    with pytest.raises(SettingsError) as refusal:
        migrate(url)
    said = str(refusal.value)
    statements = said[said.index("CREATE ROLE") :].rstrip(";").split("; ")
    assert len(statements) == 2
    sql(admin, *statements)
    migrate(url)
    assert seen(url, "a") == (2, 1)


def test_a_user_who_may_not_add_pgvector_is_told_what_to_have_run(server: PostgreSQL):
    url, admin = owned(server, "bare", "CREATEROLE")
    sql(admin, "DROP EXTENSION vector")
    with pytest.raises(SettingsError) as refusal:
        migrate(url)
    said = str(refusal.value)
    sql(admin, said[said.index("CREATE EXTENSION") :])
    migrate(url)
    assert seen(url, "a") == (2, 1)


def test_what_would_leave_tenants_unprotected_is_refused(server: PostgreSQL):
    url, admin = owned(server, "careful", "CREATEROLE")
    migrate(url)
    sql(admin, "ALTER ROLE carillon_tenant BYPASSRLS")
    with pytest.raises(SettingsError, match="BYPASSRLS"):
        migrate(url)
    sql(admin, "ALTER ROLE carillon_tenant NOBYPASSRLS")
    migrate(url)
    stranger = admin.replace("postgres@", "stranger@")
    sql(
        admin,
        "CREATE ROLE stranger LOGIN",
        "GRANT carillon_tenant TO stranger",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger",
    )
    with pytest.raises(SettingsError, match="does not own"):
        migrate(stranger)
