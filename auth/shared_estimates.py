"""Estimates shared: gateways tell each other what answers usually take, once a minute.

Place in the path: beside it, a task of each gateway. Counts go to one hash of Valkey a day, by
model; tenants' own stay where they were learned. A new gateway begins with what is known. It
decides nothing, and while Valkey is away everybody goes on with what they have.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress

from auth.estimates import Estimates
from auth.pipeline import Pipeline
from auth.plans import DAY_S
from core.errors import StoreUnavailable

INTERVAL_S = 60.0
KEPT_S = 3 * DAY_S
FADED = 0.25
"""What yesterday's answers count beside today's."""

Totals = dict[tuple[str, int], dict[int, float]]


class SharedEstimates:
    """Exchanges one gateway's estimates with the others'.

    Args:
        store: connection to Valkey.
        prefix: begins every key.
    """

    def __init__(self, estimates: Estimates, store: Pipeline, prefix: str = "carillon") -> None:
        self._estimates = estimates
        self._store = store
        self._prefix = prefix
        self._began = False

    async def run(self) -> None:
        """Exchange, for ever."""
        while True:
            with suppress(StoreUnavailable):  # what could not be told waits for the next time
                await self.exchange()
            await asyncio.sleep(INTERVAL_S)

    async def exchange(self) -> None:
        """Tell what is new here and take over what all know. Raises StoreUnavailable."""
        counts = self._estimates.take_unshared()
        if not counts and self._began:
            return
        try:
            await self._tell(counts)
        except StoreUnavailable:
            self._estimates.give_back(counts)
            raise
        self._estimates.take_over(await self._all())
        self._began = True

    async def _tell(self, counts: dict[tuple[str, int, int], int]) -> None:
        key = self._key(_today())
        calls = [
            self._store.call("HINCRBY", key, f"{power}:{bucket}:{model_id}", count)
            for (model_id, power, bucket), count in counts.items()
        ]
        if calls:
            await asyncio.gather(*calls)
            await self._store.call("EXPIRE", key, KEPT_S)

    async def _all(self) -> Totals:
        totals: Totals = defaultdict(lambda: defaultdict(float))
        for day, weight in ((_today(), 1.0), (_today() - 1, FADED)):
            stored = await self._store.call("HGETALL", self._key(day))
            for field, count in zip(stored[::2], stored[1::2], strict=True):
                power, bucket, model_id = field.decode().split(":", 2)
                totals[model_id, int(power)][int(bucket)] += weight * int(count)
        return totals

    def _key(self, day: int) -> str:
        return f"{self._prefix}:estimates:{day}"


def _today() -> int:
    return int(time.time() // DAY_S)
