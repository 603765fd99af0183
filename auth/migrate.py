"""Bring PostgreSQL's schema up to date.

Place in the path: start-up, before anything reads an account. This module does not say what the
schema is; `auth/migrations/versions/` does.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from dbos import DBOS

from auth.pgvector import ensure_pgvector
from auth.tenant_role import Session, ensure_role, require_row_security
from core.errors import SettingsError, StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x636172696C6C6F6E
"""Advisory lock of the migration ("carillon" in ASCII): two starts at once take turns."""
CONNECT_TIMEOUT_S = 10.0


def migrate(database_url: str) -> None:
    """Run every migration that the database lacks, all in one transaction.

    The durable engine's tables are its own, in the schema `dbos`; it brings them up to date here.
    Blocks; call it outside an event loop (or in a thread). Raises StoreUnavailable when the
    server does not answer, SettingsError when the database is newer than this code, or does not
    let this user keep tenants apart (`auth/tenant_role.py`) or lacks pgvector (`auth/pgvector.py`).
    """
    asyncio.run(_in_turn(database_url, _upgrade))
    DBOS.migrate(database_url)


def prepare_role(database_url: str) -> None:
    """Make the role that a dump of Carillon's tables grants rights to. Raises as `migrate`."""
    asyncio.run(_in_turn(database_url, ensure_role))


async def _upgrade(connection: Session) -> None:
    await ensure_role(connection)  # migrations say what it may do
    await ensure_pgvector(connection)  # and have columns of its types
    statements = _missing(await _current(connection))
    if statements:
        await connection.execute(statements)
    await require_row_security(connection)


async def _in_turn(database_url: str, work: Callable[[Session], Awaitable[None]]) -> None:
    """Do `work` in one transaction, while nobody else does the like on this database."""
    try:
        connection = await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await work(connection)
    finally:
        await connection.close()


async def _current(connection: Session) -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return version


def _missing(current: str | None) -> str:
    """SQL from the revision `current` to the newest; empty when there is nothing to do."""
    rendered = io.StringIO()
    config = Config(output_buffer=rendered, stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, f"{current or 'base'}:head", sql=True)
    except CommandError as error:
        raise SettingsError(f"the database is at an unknown revision: {error}") from error
    return rendered.getvalue().strip()
