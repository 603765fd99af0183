"""Amounts: what work is on the meter of a window.

Place in the path: beside step 3, for what is said before or after it. The store computes the same
in `auth/scripts/meters.lua`, and what it computes is what counts.
"""

from auth.plans import Meter, Window
from auth.prices import UnitPrices, money_of
from core.work import WorkUnits


def amount_of(meter: Meter, units: WorkUnits, prices: UnitPrices) -> int:
    """How much of `meter` one request for `units` takes."""
    if meter in (Meter.REQUESTS, Meter.CONCURRENCY):
        return 1
    if meter is Meter.MONEY:
        return money_of(units, prices)
    amount: int = getattr(units, meter.value)
    return amount


def reserved_of(window: Window, estimate: WorkUnits, bound: WorkUnits, prices: UnitPrices) -> int:
    """What a window is charged at first: a rate what is usual, a budget the most that it may be."""
    return amount_of(window.meter, bound if window.is_budget else estimate, prices)
