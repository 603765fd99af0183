"""Risk of holding a coin, measured on its past: volatility, losses, drawdown.

Place in the path: step 4, called by `deployments.forecast`. Plain historical measures of daily
returns; nothing is predicted, and nothing is assumed about their distribution.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

from deployments.market_data import Day

DAYS_PER_YEAR = 365
"""Coins trade every day."""


def risk(days: Sequence[Day]) -> dict[str, Any]:
    """Measures over `days`, at least three of them.

    Losses are fractions of the value held: a value at risk of 0.05 is a day that loses 5 %.
    """
    returns = [after.close / before.close - 1 for before, after in itertools.pairwise(days)]
    mean, deviation = statistics.fmean(returns), statistics.stdev(returns)
    sharpe = mean / deviation * math.sqrt(DAYS_PER_YEAR) if deviation > 0 else None
    return {
        "observations": len(returns),
        "volatility_daily": deviation,
        "volatility_annualized": deviation * math.sqrt(DAYS_PER_YEAR),
        "value_at_risk": {"95": value_at_risk(returns, 0.95), "99": value_at_risk(returns, 0.99)},
        "expected_shortfall": {
            "95": expected_shortfall(returns, 0.95),
            "99": expected_shortfall(returns, 0.99),
        },
        "max_drawdown": max_drawdown(days),
        "sharpe_ratio": sharpe,
        "total_return": days[-1].close / days[0].close - 1,
    }


def value_at_risk(returns: Sequence[float], confidence: float) -> float:
    """One day's loss that is exceeded on a share `1 - confidence` of days; never negative.

    Historical simulation: the worst days themselves, no distribution fitted.
    """
    worst = sorted(returns)
    return max(0.0, -worst[_tail(worst, confidence) - 1])


def expected_shortfall(returns: Sequence[float], confidence: float) -> float:
    """Mean loss of the worst share `1 - confidence` of days; never negative."""
    worst = sorted(returns)
    return max(0.0, -statistics.fmean(worst[: _tail(worst, confidence)]))


def _tail(returns: Sequence[float], confidence: float) -> int:
    # Rounded first: 100 x (1 - 0.99) is a little over 1 in floating point.
    return max(1, math.ceil(round(len(returns) * (1 - confidence), 9)))


def max_drawdown(days: Sequence[Day]) -> dict[str, Any]:
    """The deepest fall from a peak, as a fraction, and the days of that peak and its trough."""
    peak = days[0]
    deepest, top, bottom = 0.0, peak, peak
    for day in days:
        if day.close > peak.close:
            peak = day
        fall = 1 - day.close / peak.close
        if fall > deepest:
            deepest, top, bottom = fall, peak, day
    return {"value": deepest, "peak": top.day.isoformat(), "trough": bottom.day.isoformat()}
