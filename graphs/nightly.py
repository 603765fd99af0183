"""The nightly reconciliation, and its figures as Prometheus gauges.

Place in the path: beside the ledger writer, in a task of its own. What is compared and how is
`auth.reconciliation`'s.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from ray.serve import metrics

from auth.engine_counters import EngineCounters
from auth.reconciliation import Drift, Reconciliation
from core.errors import StoreUnavailable

LOOK_S = 60.0
AFTER_MIDNIGHT = timedelta(minutes=30)
"""By then the calls of the day before are settled, reported and written."""
CATCH_UP = timedelta(days=7)
"""Nights that are made up for after an installation was off."""
KEPT = timedelta(days=62)
"""Days that can be compared once more: `carillon reconcile --day`."""


class Nightly:
    """Reconciles each day once, in the night after it.

    Args:
        counters: what it compares the ledger with; those of long ago are forgotten.
        now: the time, UTC.
    """

    def __init__(
        self,
        reconciliation: Reconciliation,
        counters: EngineCounters,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reconciliation = reconciliation
        self._counters = counters
        self._pruned: date | None = None
        self._now = now
        self._drift = metrics.Gauge(
            "carillon_reconciliation_drift",
            description="Ledger less engines, as a share of the larger, on the last day compared",
            tag_keys=("model", "unit"),
        )
        self._shown: set[tuple[str, str]] = set()
        self._done: set[date] = set()
        # Also days on which nobody worked, of which nothing is published.

    async def run(self) -> None:
        """Look once a minute, for ever. While PostgreSQL is away the last figures stand."""
        while True:
            try:
                if not await self.reconcile() and not self._shown:
                    await self._show_last()
            except StoreUnavailable:
                pass  # the next look is in a minute
            await asyncio.sleep(LOOK_S)

    async def reconcile(self) -> list[Drift]:
        """Publish the days that are due; what the last of them shows. Raises StoreUnavailable."""
        today = (self._now() - AFTER_MIDNIGHT).date()
        last: list[Drift] = []
        for day in await self._due(today):
            last = await self._reconciliation.publish(day)
            self._show(last)
            self._done.add(day)
        if self._pruned != today:
            await self._counters.prune(today - KEPT)
            self._pruned = today
        return last

    async def _due(self, today: date) -> list[date]:
        if today - timedelta(days=1) in self._done:
            return []
        days = await self._reconciliation.unreconciled(today - CATCH_UP, today)
        self._done.update({today - timedelta(days=1)} - set(days))
        return [day for day in days if day not in self._done]

    async def _show_last(self) -> None:
        """After a restart: what was published before."""
        published = await self._reconciliation.published(self._now().date() - CATCH_UP)
        self._show([drift for drift in published if drift.day == published[0].day])

    def _show(self, drifts: Sequence[Drift]) -> None:
        now = {(drift.model, drift.unit): drift.ratio for drift in drifts}
        # A model that did nothing on the last day has no drift; its old figure must not stand.
        for model, unit in self._shown - set(now):
            self._drift.set(0.0, {"model": model, "unit": unit})
        for (model, unit), ratio in now.items():
            self._drift.set(ratio, {"model": model, "unit": unit})
        self._shown |= set(now)
