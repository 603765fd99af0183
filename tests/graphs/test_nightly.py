"""Which days are compared, and when."""

from datetime import UTC, date, datetime, timedelta
from typing import cast

import pytest

from auth.engine_counters import EngineCounters
from auth.reconciliation import Drift, Reconciliation
from graphs.nightly import KEPT, Nightly

DAY = date(2026, 11, 20)


class Published:
    """`auth.reconciliation`, without stores."""

    def __init__(self) -> None:
        self.days: list[date] = []
        self.known: set[date] = set()
        self.idle: set[date] = set()

    async def unreconciled(self, since: date, until: date) -> list[date]:
        days = [since + timedelta(days=n) for n in range((until - since).days)]
        return [day for day in days if day not in self.known]

    async def publish(self, day: date) -> list[Drift]:
        self.days.append(day)
        if day in self.idle:
            return []
        self.known.add(day)
        return [Drift(day, "m", "rows", 10, 9, 0, 0)]

    async def published(self, since: date) -> list[Drift]:
        return [Drift(DAY, "m", "rows", 10, 5, 0, 0)]


class Counters:
    def __init__(self) -> None:
        self.pruned: list[date] = []

    async def prune(self, before: date) -> None:
        self.pruned.append(before)


class Gauge:
    def __init__(self, *_: object, **__: object) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values[tags["model"], tags["unit"]] = value


class Night(Nightly):
    """With a clock that a test drives."""

    def __init__(self) -> None:
        self.store = Published()
        self.now = datetime(2026, 11, 21, 0, 10, tzinfo=UTC)
        self.counters = Counters()
        super().__init__(
            cast("Reconciliation", self.store),
            cast("EngineCounters", self.counters),
            lambda: self.now,
        )


@pytest.fixture
def night(monkeypatch):
    monkeypatch.setattr("graphs.nightly.metrics.Gauge", Gauge)
    return Night()


async def test_a_day_is_compared_half_an_hour_after_it_and_once(night):
    store = night.store
    store.known = {DAY - timedelta(days=n) for n in range(1, 9)}
    await night.reconcile()
    assert store.days == [], "its last calls may not be written yet"
    night.now += timedelta(minutes=30)
    for _ in range(3):
        await night.reconcile()
    assert store.days == [DAY]
    assert night._drift.values == {("m", "rows"): -0.1}


async def test_a_day_on_which_nobody_worked_is_not_looked_at_again(night):
    store = night.store
    store.idle = {DAY}
    night.now += timedelta(hours=1)
    await night.reconcile()
    assert len(store.days) == 7, "a week is made up for"
    await night.reconcile()
    assert len(store.days) == 7
    night.now += timedelta(days=1)
    await night.reconcile()
    assert store.days[-1] == DAY + timedelta(days=1)
    assert len(store.days) == 8


async def test_counts_of_two_months_ago_are_forgotten_once_a_day(night):
    for _ in range(3):
        night.now += timedelta(hours=1)
        await night.reconcile()
    assert night.counters.pruned == [DAY + timedelta(days=1) - KEPT]
    night.now += timedelta(days=1)
    await night.reconcile()
    assert len(night.counters.pruned) == 2


async def test_after_a_restart_the_last_figures_are_shown(night):
    await night._show_last()
    assert night._drift.values == {("m", "rows"): -0.5}
