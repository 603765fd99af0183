"""Headroom: whether work would be admitted now, asked before it is put off.

Place in the path: before it, for jobs: their calls are admitted later, when nobody is there to be
told. It takes nothing. What admission says then is what counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from auth.admission import Refused, WindowState
from auth.amounts import amount_of
from auth.limits import Limits
from auth.plans import Meter, ScopedWindows
from auth.prices import PriceBook
from auth.principal import Principal
from auth.quota import refusal
from core.work import WorkUnits
from ingress.trace import principal_object, traced, windows, work_object


@dataclass(frozen=True, slots=True)
class Work:
    """Calls of one model."""

    model_id: str
    calls: int
    units: WorkUnits
    """The most that all of them take."""
    usual: WorkUnits
    """What one of them is expected to take."""


class Windows(Protocol):
    """Where windows stand. See `auth.valkey`."""

    async def standing(self, scopes: ScopedWindows) -> tuple[WindowState, ...]: ...


class Headroom:
    """Every window of a principal, against work of a known size."""

    def __init__(self, windows: Windows, limits: Limits, prices: PriceBook) -> None:
        self._windows = windows
        self._limits = limits
        self._prices = prices

    async def require(self, principal: Principal, model_id: str, units: WorkUnits) -> None:
        """Raises LimitReached for the first window that has no room for `units` of a model.

        What runs at this moment will have ended when a job's turn comes, so it does not count.
        """
        prices = self._prices.of(model_id)
        standing = await self._windows.standing(self._limits.scopes(principal))
        for state in standing:
            amount = amount_of(state.window.meter, units, prices)
            running = state.window.meter is Meter.CONCURRENCY
            if amount > state.remaining and not running and not state.window.watched:
                verdict = Refused(standing, state, amount)
                facts = {
                    "principal": principal_object(principal),
                    "model": model_id,
                    **work_object(self._prices, model_id, units, units),
                }
                raise traced(
                    refusal(verdict), "admit", **facts, **windows(verdict, units, units, prices)
                )

    async def require_all(self, principal: Principal, works: Sequence[Work]) -> None:
        """Raises LimitReached for the first window that cannot hold many calls, one after another.

        A budget has to hold their sum. A rate opens again before they are done: it has to hold the
        largest of them, when it is empty.
        """
        standing = await self._windows.standing(self._limits.scopes(principal))
        for state in standing:
            window = state.window
            if window.watched or window.meter is Meter.CONCURRENCY:
                continue
            budget = window.is_budget
            amounts = [self._amount(window.meter, work, whole=budget) for work in works]
            asked = sum(amounts) if budget else max(amounts, default=0)
            if asked > (state.remaining if budget else window.limit):
                facts = {"principal": principal_object(principal), "calls": _calls(works)}
                raise traced(refusal(Refused(standing, state, asked)), "admit", **facts)

    def _amount(self, meter: Meter, work: Work, *, whole: bool) -> int:
        if meter is Meter.REQUESTS:
            return work.calls if whole else 1
        units = work.units if whole else work.usual
        return amount_of(meter, units, self._prices.of(work.model_id))


def _calls(works: Sequence[Work]) -> int:
    return sum(work.calls for work in works)
