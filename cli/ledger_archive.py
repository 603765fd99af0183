"""`carillon archive`: a month of the ledger as a compressed CSV file, and out of the database.

Place: operators run it for months that are over. A month is a partition, so taking it out costs
nothing but its rows. It never touches a month that can still get rows.
"""

import asyncio
import gzip
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import asyncpg

from auth.months import after, month_of, partition_of
from cli.failure import Failure
from core.errors import StoreUnavailable
from core.settings import StoreSettings

MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
STATEMENT_S = 3600.0


def archive(month: str, to: Path, *, keep: bool, now: datetime | None = None) -> int:
    """Write the month's rows to `to`; then drop them, unless they are to be kept. How many.

    Raises Failure, StoreUnavailable.
    """
    found = MONTH.fullmatch(month)
    if found is None:
        raise Failure(f"say the month as 2026-08, not {month!r}")
    first = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
    if after(first) > month_of(now or datetime.now(UTC)):
        raise Failure(f"{month} is not over")
    if to.exists():
        raise Failure(f"{to} is there already")
    try:
        return asyncio.run(_archive(partition_of(first), to, keep=keep))
    except BaseException:
        to.unlink(missing_ok=True)
        raise


async def _archive(partition: str, to: Path, *, keep: bool) -> int:
    url = StoreSettings().database_url.resolve().get_secret_value()
    try:
        connection = await asyncpg.connect(url, command_timeout=STATEMENT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable("PostgreSQL does not answer") from error
    try:
        async with connection.transaction(isolation="repeatable_read"):
            if await connection.fetchval("SELECT to_regclass($1)", partition) is None:
                raise Failure(f"the ledger has no partition {partition}")
            # Nothing is written between the copy and the end of the month's table.
            await connection.execute(f"LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")
            rows = await _copied(connection, partition, to)
            if not keep:
                await connection.execute(f"DROP TABLE {partition}")
    finally:
        await connection.close()
    return rows


async def _copied(
    connection: "asyncpg.Connection[asyncpg.Record]", partition: str, to: Path
) -> int:
    """Rows of a partition in a compressed CSV file, flushed; how many."""
    with gzip.open(to, "xb") as file:
        status = await connection.copy_from_table(
            partition, output=cast("BinaryIO", file), format="csv", header=True
        )
    return int(status.split()[-1])
