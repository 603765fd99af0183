"""Months of the ledger: one partition of `usage_records` for each.

Place in the path: a chore of the ledger writer. A row of a month that has no partition yet waits in
the default one, so none is ever refused; it moves when its month is made. Months are UTC's. This
module does not delete: `carillon archive` does that.
"""

import re
from datetime import UTC, datetime

from auth.database import Connection, Database
from auth.tenant_role import POLICY

AHEAD = 2
"""Months that are ready: this one and the next."""
NAME = re.compile(r"usage_records_\d{4}_\d{2}")


class Months:
    """Keeps partitions ready. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ready: datetime | None = None

    async def prepare(self, now: datetime | None = None) -> None:
        """Ensure this month's partition and the next one's. Cheap when they are there."""
        first = month_of(now or datetime.now(UTC))
        if self._ready == first:
            return
        for _ in range(AHEAD):
            await self._ensure(first)
            first = after(first)
        self._ready = month_of(now or datetime.now(UTC))

    async def _ensure(self, first: datetime) -> None:
        async with self._database.transaction() as connection:
            name = partition_of(first)
            # Two writers at once: the second waits here, and finds it made.
            await connection.execute("LOCK TABLE usage_records IN SHARE UPDATE EXCLUSIVE MODE")
            if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                await _make(connection, name, first)


async def _make(connection: Connection, name: str, first: datetime) -> None:
    # Names cannot be parameters; this one is checked to be nothing but a name.
    assert NAME.fullmatch(name)
    start, end = (f"'{moment:%Y-%m-%d} 00:00+00'" for moment in (first, after(first)))
    columns = await connection.fetchval(
        "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position)"
        " FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND table_name = 'usage_records' AND is_generated = 'NEVER'"
    )
    await connection.execute(
        f"CREATE TABLE {name} (LIKE usage_records INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
        " INCLUDING GENERATED)"
    )
    await connection.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    await connection.execute(f"CREATE POLICY of_tenant ON {name} USING ({POLICY})")
    await connection.execute(
        f"WITH moved AS (DELETE FROM usage_records_other WHERE admitted_at >= {start}"  # noqa: S608
        f" AND admitted_at < {end} RETURNING *)"
        f" INSERT INTO {name} ({columns}) SELECT {columns} FROM moved"
    )
    await connection.execute(
        f"ALTER TABLE usage_records ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})"
    )


def partition_of(first: datetime) -> str:
    """The table that holds a month's rows."""
    return f"usage_records_{first:%Y_%m}"


def month_of(moment: datetime) -> datetime:
    """The first moment of its month, UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def after(first: datetime) -> datetime:
    """The first moment of the month after."""
    years, month = divmod(first.month, 12)
    return first.replace(year=first.year + years, month=month + 1)
