"""Engine counts: what this replica's engine did, told to the ledger's application.

Place in the path: step 4, inside the model's replica, after a call has ended. It counts on its own,
from what the model says, and never looks at what the gateway settles: that is what makes a lost
row visible (`auth.reconciliation`). Reports are totals since the replica began, so one that is
lost or comes twice does no harm. Calls by handle, outside the gateway, have no row and are not
counted.
"""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from core.model import CallContext
from core.work import NO_WORK, WorkUnits
from graphs.orphans import LEDGER_APPLICATION

GATHER_S = 2.0
"""Between the end of a call and the report of it: what a killed replica can lose."""
LONGEST_PAUSE_S = 60.0
KEPT_DAYS = 3

Send = Callable[[str, list[dict[str, Any]]], Awaitable[None]]
logger = logging.getLogger("ray.serve")


@dataclass
class _Total:
    calls: int = 0
    units: Counter[str] = field(default_factory=Counter)
    unbilled: Counter[str] = field(default_factory=Counter)
    device_seconds: float = 0.0


class EngineCounts:
    """The totals of one replica.

    Args:
        send: tells the ledger; a replica's name and its totals.
        today: the day, UTC.
        gather_s: how long news wait for more.
    """

    def __init__(
        self,
        send: Send | None = None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        gather_s: float = GATHER_S,
    ) -> None:
        self._send = send or _tell_ledger
        self._today = today
        self._gather_s = gather_s
        self._replica = uuid.uuid4().hex
        self._totals: dict[tuple[date, str], _Total] = {}
        self._news: set[tuple[date, str]] = set()
        self._telling: asyncio.Task[None] | None = None

    def count(self, call: CallContext, billed: WorkUnits, unbilled: WorkUnits = NO_WORK) -> None:
        """A call has ended: what its caller owes, and what was done besides."""
        if not call.model:
            return
        key = (self._today(), call.model)
        total = self._totals.setdefault(key, _Total())
        total.calls += 1
        total.units.update(billed.nonzero())
        total.unbilled.update(unbilled.nonzero())
        total.device_seconds += call.device_s
        self._news.add(key)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Report until there is no news. While the ledger is away, news wait."""
        pause_s = self._gather_s
        while self._news:
            await asyncio.sleep(pause_s)
            keys, self._news = self._news, set()
            try:
                await self._send(self._replica, [self._report(key) for key in sorted(keys)])
            except (RayError, RayServeException) as error:
                logger.warning("engine counts not reported yet: %s", type(error).__name__)
                self._news |= keys
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                pause_s = self._gather_s
                self._forget()

    def _report(self, key: tuple[date, str]) -> dict[str, Any]:
        day, model = key
        total = self._totals[key]
        return {
            "model": model,
            "day": day,
            "calls": total.calls,
            "units": dict(total.units),
            "unbilled": dict(total.unbilled),
            "device_seconds": total.device_seconds,
        }

    def _forget(self) -> None:
        today = self._today()
        old = [key for key in self._totals if (today - key[0]).days >= KEPT_DAYS]
        for key in old:
            del self._totals[key]
            self._news.discard(key)


_ledger: list[DeploymentHandle[Any]] = []


async def _tell_ledger(replica: str, counts: list[dict[str, Any]]) -> None:
    if not ray.is_initialized():
        return  # Serve's local testing mode: asking for the handle would start a cluster
    if not _ledger:
        # Blocks for a round trip to the controller: once is enough.
        _ledger.append(serve.get_app_handle(LEDGER_APPLICATION))
    try:
        await _ledger[0].count_engine.remote(replica, counts)
    except (RayError, RayServeException):
        _ledger.clear()
        raise
