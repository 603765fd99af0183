"""pgvector: the extension of PostgreSQL that finds vectors.

Place in the path: start-up, before the migrations, which make tables and indexes with it. It is on
the embedded server, and on every hosted one; on others it is a package. Making it may be an
administrator's business.
"""

import asyncpg

from auth.tenant_role import Session
from core.errors import SettingsError

NEEDED = (0, 8)
"""Searches that go on until enough of what they find passes a filter (iterative scans)."""
VERSIONS = """
    SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS made,
        (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available
"""


async def ensure_pgvector(connection: Session) -> None:
    """Make the extension in this database, if it is not there. Call it inside a transaction.

    Raises SettingsError, which says what an administrator has to do, when it cannot be made or is
    too old.
    """
    versions = await connection.fetchrow(VERSIONS)
    assert versions is not None
    if versions["made"] is None:
        await _make(connection, versions["available"])
    _require(versions["made"] or versions["available"])


async def _make(connection: Session, available: str | None) -> None:
    if available is None:
        raise SettingsError(
            "documents are found by pgvector, which the server of DATABASE_URL lacks: install its"
            " package there (https://github.com/pgvector/pgvector)"
        )
    try:
        async with connection.transaction():
            await connection.execute("CREATE EXTENSION vector")
    except asyncpg.InsufficientPrivilegeError as error:
        raise SettingsError(
            "documents are found by pgvector, which the user of DATABASE_URL may not add to its"
            " database. Have an administrator run there, once: CREATE EXTENSION vector;"
        ) from error


def _require(version: str) -> None:
    if tuple(int(part) for part in version.split(".")[:2]) < NEEDED:
        raise SettingsError(
            f"pgvector is {version}, and {'.'.join(map(str, NEEDED))} is needed: update its package"
            " and run ALTER EXTENSION vector UPDATE;"
        )
