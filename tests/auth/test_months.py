"""The ledger's months."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from auth.database import Database
from auth.months import Months, after, month_of, partition_of

ROW = (
    "INSERT INTO usage_records (request_id, tenant_id, api_key_id, status, admitted_at)"
    " VALUES ($1, 'months', 'k', 'settled', $2)"
)
FAR = datetime(2031, 12, 15, tzinfo=UTC)


@pytest.fixture
async def tidy(database: Database):
    yield
    for first in (month_of(FAR), after(month_of(FAR))):
        await database.execute(f"DROP TABLE IF EXISTS {partition_of(first)}")
    await database.execute("DELETE FROM usage_records WHERE tenant_id = 'months'")


async def table_of(database: Database, request_id: str) -> str:
    row = await database.row(
        "SELECT tableoid::regclass::text AS name FROM usage_records WHERE request_id = $1",
        request_id,
    )
    assert row is not None
    name: str = row["name"]
    return name


@pytest.mark.usefixtures("tidy")
async def test_rows_wait_in_the_default_and_move_when_their_month_is_made(database: Database):
    await database.execute(ROW, "early", FAR)
    assert await table_of(database, "early") == "usage_records_other"
    await Months(database).prepare(FAR)
    assert await table_of(database, "early") == "usage_records_2031_12"
    await database.execute(ROW, "later", FAR + timedelta(days=20))
    assert await table_of(database, "later") == "usage_records_2032_01"


@pytest.mark.usefixtures("tidy")
async def test_two_writers_may_prepare_at_once_and_again(database: Database):
    await asyncio.gather(*(Months(database).prepare(FAR) for _ in range(4)))
    await Months(database).prepare(FAR)
    await database.execute(ROW, "one", FAR)
    assert await table_of(database, "one") == "usage_records_2031_12"


@pytest.mark.usefixtures("tidy")
async def test_a_request_id_is_one_row_in_its_month(database: Database):
    await Months(database).prepare(FAR)
    await database.execute(ROW + " ON CONFLICT (request_id, admitted_at) DO NOTHING", "id", FAR)
    await database.execute(ROW + " ON CONFLICT (request_id, admitted_at) DO NOTHING", "id", FAR)
    rows = await database.fetch("SELECT 1 FROM usage_records WHERE request_id = 'id'")
    assert len(rows) == 1
