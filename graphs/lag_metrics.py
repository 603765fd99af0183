"""How far the ledger is behind, as Prometheus gauges.

Place in the path: beside the ledger writer. It only looks.
"""

import asyncio

from ray.serve import metrics

from auth.ledger import LedgerWriter
from core.errors import StoreUnavailable

INTERVAL_S = 5.0


class LagMetrics:
    """Publishes the lag every few seconds."""

    def __init__(self, writer: LedgerWriter) -> None:
        self._writer = writer
        self._events = metrics.Gauge(
            "carillon_ledger_lag_events", description="Usage events not in PostgreSQL yet"
        )
        self._age = metrics.Gauge(
            "carillon_ledger_lag_seconds", description="Age of the oldest of them"
        )
        self._rejected = metrics.Gauge(
            "carillon_ledger_rejected", description="Usage events that PostgreSQL cannot take"
        )

    async def run(self) -> None:
        """Publish, for ever. While Valkey is away the last figures stand."""
        while True:
            try:
                lag = await self._writer.lag()
            except StoreUnavailable:
                pass
            else:
                self._events.set(lag.events)
                self._age.set(lag.oldest_age_s)
                self._rejected.set(lag.rejected)
            await asyncio.sleep(INTERVAL_S)
