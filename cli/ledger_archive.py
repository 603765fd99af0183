"""`carillon archive`: a month of the ledger as a compressed CSV file, and out of the database.

Place: operators run it for months that are over. A month is a partition, so taking it out costs
nothing but its rows. It never touches a month that can still get rows, and drops none that is not
on the disk, under its name. The file holds every tenant's rows: mode 0600, as of backups.
"""

import asyncio
import gzip
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

import asyncpg

from auth.months import after, partition_of
from cli.failure import Failure
from core.errors import StoreUnavailable
from core.settings import StoreSettings

MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
STATEMENT_S = 3600.0
LATE = timedelta(days=1)
"""How long after a month its last requests may end: none runs longer."""


def archive(month: str, to: Path, *, keep: bool, now: datetime | None = None) -> int:
    """Write the month's rows to `to`; then drop them, unless they are to be kept. How many.

    Raises Failure, StoreUnavailable.
    """
    found = MONTH.fullmatch(month)
    if found is None:
        raise Failure(f"say the month as 2026-08, not {month!r}")
    first = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    if after(first) + LATE > (now or datetime.now(UTC)):
        raise Failure(f"{month} is not over, or for less than a day: requests of it may still run")
    if to.exists():
        raise Failure(f"{to} is there already")
    return asyncio.run(_archive(partition_of(first), to, keep=keep))


async def _archive(partition: str, to: Path, *, keep: bool) -> int:
    url = StoreSettings().database_url.resolve().get_secret_value()
    try:
        connection = await asyncpg.connect(url, command_timeout=STATEMENT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error
    try:
        async with connection.transaction():
            if await connection.fetchval("SELECT to_regclass($1)", partition) is None:
                raise Failure(f"the ledger has no partition {partition}")
            # Nothing is written between the copy and the end of the month's table, and who reads
            # need not wait. The copy sees all that was written before the lock: each statement
            # here looks at the present.
            await connection.execute(f"LOCK TABLE {partition} IN SHARE MODE")
            rows = await _copied(connection, partition, to)
            if not keep:
                await connection.execute(f"DROP TABLE {partition}")
    finally:
        await connection.close()
    return rows


async def _copied(
    connection: "asyncpg.Connection[asyncpg.Record]", partition: str, to: Path
) -> int:
    """Rows of a partition in a compressed CSV file, which appears whole or not at all; how many.

    It is on the disk when this returns, and nothing that fails afterwards takes it away.
    """
    draft = to.with_name(f".{to.name}.{time.time_ns()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with gzip.open(file, "wb") as packed:
                status = await connection.copy_from_table(
                    partition, output=cast("BinaryIO", packed), format="csv", header=True
                )
            file.flush()
            os.fsync(file.fileno())
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(to.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return int(status.split()[-1])
