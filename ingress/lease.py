"""The lease of one call: kept up while its gateway lives, and no longer.

Place in the path: around step 4. A reservation outlives a killed gateway only by its lease; a call
that waits in a queue or thinks for minutes must not lose its own. A timer, not a task: nearly
every call ends before it fires.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from core.work import NO_WORK, WorkUnits

Renew = Callable[[WorkUnits], None]


class Lease:
    """Calls `renew` with the units so far, every `interval_s` until the block is left."""

    def __init__(self, renew: Renew, interval_s: float) -> None:
        self.units: WorkUnits = NO_WORK
        self._renew = renew
        self._interval_s = interval_s
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._schedule()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._interval_s, self._due)

    def _due(self) -> None:
        self._renew(self.units)
        self._schedule()
