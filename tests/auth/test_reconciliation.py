"""The ledger against engines' counters: agreement when nothing is lost, drift when something is."""

import secrets
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from auth.admission import Settlement
from auth.database import Database
from auth.engine_counters import EngineCount, EngineCounters
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.reconciliation import Drift, Reconciliation, beyond
from auth.valkey import ValkeyAdmission
from core.work import NO_WORK, WorkUnits
from tests.auth.worlds import REPLY, ValkeyWorld, ask_of
from tests.fakes.admission import EPOCH

UNITS = WorkUnits(input_tokens=100, cached_tokens=20, output_tokens=30, audio_ms=7)


def today() -> date:
    return datetime.now(UTC).date()


class Books:
    """One model's requests, settled in the ledger and counted by its engine."""

    def __init__(self, store: Pipeline, database: Database, prefix: str) -> None:
        self.model = f"m-{secrets.token_hex(4)}"
        self.tenant = f"t-{secrets.token_hex(4)}"
        self.world = ValkeyWorld(ValkeyAdmission(store, prefix), store, prefix)
        self.writer = LedgerWriter(store, database, prefix)
        self.counters = EngineCounters(database)
        self.reconciliation = Reconciliation(database)
        self.database = database
        self.calls = 0

    async def request(
        self, units: WorkUnits = UNITS, cache_key: str | None = None, **more: Any
    ) -> str:
        """One request, in the ledger; its id."""
        ask = replace(
            ask_of(tenant=self.tenant, details={"model": self.model}),
            cache_key=cache_key,
        )
        await self.world.admission.admit(ask)
        await self.world.admission.settle(Settlement(ask.request_id, units, **more))
        await self.writer.drain()
        return ask.request_id

    async def counted(
        self, units: WorkUnits, replica: str = "r1", calls: int = 1, **more: WorkUnits
    ) -> None:
        """What a replica reports: totals."""
        unbilled = more.get("unbilled", NO_WORK).nonzero()
        count = EngineCount(self.model, today(), calls, units.nonzero(), unbilled, 0.5)
        await self.counters.store(f"{self.model}-{replica}", [count])

    async def drift(self) -> dict[str, Drift]:
        found = await self.reconciliation.of(today())
        return {drift.unit: drift for drift in found if drift.model == self.model}


@pytest.fixture
async def books(store: Pipeline, database: Database, prefix: str) -> Books:
    books = Books(store, database, prefix)
    await books.world.set_epoch(books.tenant, EPOCH)
    return books


async def test_nothing_lost_is_no_drift_in_any_unit(books: Books):
    for _ in range(3):
        await books.request()
    await books.counted(UNITS + UNITS, "r1", calls=2)
    await books.counted(UNITS, "r2")
    drift = await books.drift()
    assert {unit: d.engine for unit, d in drift.items()} == (UNITS + UNITS + UNITS).nonzero()
    assert all(d.difference == 0 and d.ratio == 0 for d in drift.values())
    assert beyond(list(drift.values()), 0) == []


async def test_a_row_that_is_lost_is_seen(books: Books):
    lost, *_ = [await books.request() for _ in range(4)]
    await books.counted(UNITS + UNITS + UNITS + UNITS, calls=4)
    await books.database.execute("DELETE FROM usage_records WHERE request_id = $1", lost)
    drift = await books.drift()
    assert {unit: d.difference for unit, d in drift.items()} == {
        unit: -count for unit, count in UNITS.nonzero().items()
    }
    assert drift["output_tokens"].ratio == -0.25
    assert len(beyond(list(drift.values()), 0.2)) == len(drift)


async def test_a_row_that_is_too_many_or_an_engine_that_never_told_is_seen(books: Books):
    await books.request()
    assert (await books.drift())["output_tokens"].ratio == 1
    await books.request()
    await books.counted(UNITS)
    assert (await books.drift())["output_tokens"].ratio == 0.5


async def test_answers_from_the_cache_are_no_work(books: Books):
    cached = books.request(cache_key="same", cache=REPLY)
    await cached
    await books.counted(UNITS)
    hit = replace(ask_of(tenant=books.tenant, details={"model": books.model}), cache_key="same")
    await books.world.admission.admit(hit)
    await books.writer.drain()
    assert all(d.difference == 0 for d in (await books.drift()).values())


async def test_streams_that_were_cut_short_agree_and_estimates_are_told_apart(books: Books):
    half = WorkUnits(input_tokens=100, output_tokens=11)
    await books.request(half, status_code=499)
    relayed = WorkUnits(input_tokens=100, output_tokens=9)
    await books.request(relayed, status_code=499, exact=False)
    await books.counted(half + half, calls=2)
    drift = (await books.drift())["output_tokens"]
    assert (drift.engine, drift.ledger, drift.estimated, drift.difference) == (22, 20, 9, -2)


async def test_work_of_calls_that_failed_is_owed_by_nobody(books: Books):
    await books.request(NO_WORK, status_code=500)
    await books.counted(NO_WORK, unbilled=UNITS)
    drift = (await books.drift())["output_tokens"]
    assert (drift.engine, drift.ledger, drift.unbilled, drift.ratio) == (0, 0, 30, 0)


async def test_reports_that_come_twice_or_late_change_nothing(books: Books):
    await books.counted(UNITS + UNITS, calls=2)
    await books.counted(UNITS + UNITS, calls=2)
    await books.counted(UNITS, calls=1)
    assert (await books.drift())["output_tokens"].engine == 60


async def test_a_day_is_published_once_and_may_be_published_anew(books: Books):
    day = today() + timedelta(days=secrets.randbelow(10_000) + 1_000)
    assert await books.reconciliation.unreconciled(day, day + timedelta(days=2)) == [
        day,
        day + timedelta(days=1),
    ]
    count = EngineCount(books.model, day, 1, UNITS.nonzero(), {}, 0.0)
    await books.counters.store("r", [count])
    assert len(await books.reconciliation.publish(day)) == len(UNITS.nonzero())
    assert await books.reconciliation.unreconciled(day, day + timedelta(days=1)) == []
    await books.counters.store("r", [replace(count, calls=2, units={"rows": 9})])
    await books.reconciliation.publish(day)
    published = [d for d in await books.reconciliation.published(day) if d.day == day]
    assert [d.engine for d in published if d.unit == "rows"] == [9]
