"""Totals are the sums of the ledger's rows, however often and by however many they are written."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from auth.admission import Settlement
from auth.database import Database
from auth.ledger import LedgerWriter
from auth.records import Row, write
from auth.usage import By, Usage
from auth.valkey import ValkeyAdmission
from core.work import WorkUnits
from tests.auth.worlds import ask_of
from tests.fakes.admission import EPOCH

RAW = """
    SELECT count(*) AS requests, count(*) FILTER (WHERE cache = 'hit') AS cached,
    count(*) FILTER (WHERE status_code >= 400 OR status = 'abandoned') AS errors,
    sum(input_tokens)::bigint AS input_tokens, sum(money) AS money,
    coalesce(sum((other_units->>'rows')::bigint), 0)::bigint AS rows,
    sum(device_seconds) AS device_seconds, avg(response_time_ms)::float8 AS mean_response_time_ms
    FROM usage_records WHERE tenant_id = $1
"""
EVER = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC))


@pytest.fixture
def customer() -> str:
    return f"t-{secrets.token_hex(6)}"


def row(tenant: str, at: datetime, **fields: Any) -> Row:
    made: Row = {
        "request_id": secrets.token_hex(8),
        "tenant_id": tenant,
        "api_key_id": "k1",
        "user_id": None,
        "status": "settled",
        "model": "echo",
        "cache": "miss",
        "status_code": 200,
        "response_time_ms": 10,
        "device_seconds": 0.5,
        "exact": True,
        "input_tokens": 3,
        "cached_tokens": 0,
        "output_tokens": 4,
        "reasoning_tokens": 0,
        "other_units": {"rows": 2},
        "money": "0.000000001",
        "details": {},
        "admitted_at": at.isoformat(),
        "settled_at": at.isoformat(),
    }
    return made | fields


async def store(database: Database, rows: Sequence[Row]) -> None:
    async with database.transaction() as connection:
        await write(connection, rows)


async def compare(database: Database, tenant: str) -> None:
    """What is answered is what the rows add up to."""
    raw = await database.row(RAW, tenant)
    assert raw is not None
    totals = (await Usage(database).summary(tenant, *EVER)).totals
    for name, value in raw.items():
        found = getattr(totals, name)
        close = isinstance(value, float)
        assert found == (pytest.approx(value) if close else value), name


def admitted(settled: Row) -> Row:
    """The row of the same request before it ended."""
    units = dict.fromkeys(("input_tokens", "output_tokens"), 0)
    nothing = {"other_units": {}, "money": "0", "device_seconds": 0.0}
    unknown = dict.fromkeys(("status_code", "response_time_ms", "settled_at", "exact"))
    return settled | units | nothing | unknown | {"status": "admitted"}


async def test_however_events_come_each_row_counts_once(database: Database, customer: str):
    rng = random.Random(7)
    at = datetime.now(UTC) - timedelta(days=3)
    ended = [
        row(
            customer,
            at + timedelta(minutes=rng.randrange(4_000)),
            model=rng.choice(("echo", "fraud")),
            api_key_id=rng.choice(("k1", "k2")),
            user_id=rng.choice((None, "ada")),
            status_code=rng.choice((200, 500)),
            cache=rng.choice(("miss", "none")),
        )
        for _ in range(60)
    ]
    events = [*ended, *map(admitted, ended)] * 2
    rng.shuffle(events)
    events += [
        row(customer, at, cache="hit", input_tokens=0, money="0"),
        admitted(row(customer, at)),
    ]
    while events:
        size = rng.randrange(1, 12)
        batch = {each["request_id"]: each for each in events[:size]}
        events = events[size:]
        await store(database, list(batch.values()))
    await compare(database, customer)
    summary = await Usage(database).summary(customer, *EVER)
    assert summary.totals.requests == 62
    for by in By:
        assert sum(each.requests for each in summary.by[by].values()) == 62
    assert set(summary.by[By.USER]) == {"", "ada"}


async def test_any_period_is_the_sum_of_its_quarters(database: Database, customer: str):
    """By whole days where it has some, whatever it begins and ends with."""
    rng = random.Random(11)
    first = datetime(2026, 5, 1, tzinfo=UTC)
    rows = [row(customer, first + timedelta(minutes=rng.randrange(9 * 1440))) for _ in range(80)]
    await store(database, rows)
    moments = [datetime.fromisoformat(each["admitted_at"]) for each in rows]
    usage, quarter = Usage(database), timedelta(minutes=15)
    for _ in range(40):
        since = first + quarter * rng.randrange(9 * 96)
        until = since + quarter * rng.choice((1, 3, 96, 97, 200, 700))
        expected = sum(since <= moment < until for moment in moments)
        found = await usage.summary(customer, since, until)
        assert found.totals.requests == expected
        for zone in ("UTC", "Asia/Kathmandu"):
            days = await usage.daily(customer, since, until, zone=zone)
            assert sum(day.totals.requests for day in days) == expected


async def test_two_writers_of_the_same_events_count_them_once(database: Database, customer: str):
    at = datetime.now(UTC)
    rows = [row(customer, at + timedelta(milliseconds=n)) for n in range(50)]
    await asyncio.gather(*(store(database, list(map(admitted, rows))) for _ in range(4)))
    await asyncio.gather(*(store(database, rows) for _ in range(4)))
    await compare(database, customer)
    assert (await Usage(database).summary(customer, *EVER)).totals.requests == 50


async def test_a_transaction_that_fails_leaves_rows_and_totals_as_they_were(
    database: Database, customer: str
):
    async def killed() -> None:
        async with database.transaction() as connection:
            await write(connection, [row(customer, datetime.now(UTC))])
            raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        await killed()
    assert (await Usage(database).summary(customer, *EVER)).totals.requests == 0


async def test_what_the_store_tells_is_what_totals_say(
    database: Database, store_of_tests: ValkeyAdmission, writer: LedgerWriter, customer: str
):
    """Admitted in one batch, settled in the next: as a long request is."""
    ask = ask_of(tenant=customer, details={"model": "echo"}, prices={"input_tokens": 2_000})
    ask = replace(ask, principal=replace(ask.principal, user_id="ada"))
    await store_of_tests.admit(ask)
    await writer.drain()
    usage = Usage(database)
    assert (await usage.summary(customer, *EVER)).totals.requests == 1
    await store_of_tests.settle(
        Settlement(ask.request_id, WorkUnits(100), 200, response_time_ms=30, device_s=1.5)
    )
    await writer.drain()
    totals = (await usage.summary(customer, *EVER)).by[By.USER]["ada"]
    assert (totals.requests, totals.input_tokens, totals.money) == (1, 100, Decimal("0.0000002"))
    assert (totals.mean_response_time_ms, totals.device_seconds) == (30.0, 1.5)


@pytest.fixture
async def store_of_tests(store, prefix, customer) -> ValkeyAdmission:
    await store.call("SET", f"{prefix}:epoch:{customer}", EPOCH)
    return ValkeyAdmission(store, prefix)


@pytest.fixture
def writer(store, database, prefix) -> LedgerWriter:
    return LedgerWriter(store, database, prefix)


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", datetime(2026, 3, 29, 0, 0, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 3, 28, 18, 30, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 3, 28, 18, 15, tzinfo=UTC)),
        ("Pacific/Chatham", datetime(2026, 3, 28, 10, 15, tzinfo=UTC)),
        ("Europe/Vienna", datetime(2026, 3, 28, 23, 0, tzinfo=UTC)),
    ],
)
async def test_days_are_those_of_the_tenants_calendar(
    database: Database, customer: str, zone: str, midnight: datetime
):
    """29 March 2026 has 23 hours in Vienna."""
    last = timedelta(seconds=1)
    await store(database, [row(customer, midnight - last), row(customer, midnight)])
    days = await Usage(database).daily(customer, *EVER, zone=zone)
    assert [(each.day, each.totals.requests) for each in days] == [
        (date(2026, 3, 28), 1),
        (date(2026, 3, 29), 1),
    ]


async def test_a_tenant_sees_its_own_totals_alone(database: Database, customer: str):
    await store(database, [row(customer, datetime.now(UTC))])
    assert await database.of(customer).fetch("SELECT 1 FROM usage_totals")
    assert not await database.of("t-other").fetch("SELECT 1 FROM usage_totals")
