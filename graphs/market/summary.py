"""The text of a market insight, written from its numbers by rule.

Place in the path: after the report. Every number in it is one of the report's, rounded; no model
writes a word of it.
"""

import math
from typing import Any

from core.market import InsightRequest

Document = dict[str, Any]

AGREEMENT = {
    "agree": "The texts and the forecast lean the same way.",
    "disagree": "The texts lean the other way than the forecast.",
}
SMALL_DIGITS = 4
"""Significant digits of prices under 1."""
CAVEAT = "Past prices say little about coming ones; this is no advice."


def summary(request: InsightRequest, numbers: Document) -> str:
    """A paragraph for people."""
    sentences = [
        _price(numbers),
        _forecast(request, numbers["forecast"]),
        _risk(numbers["risk"]),
        _sentiment(numbers["sentiment"]),
        AGREEMENT.get(numbers["agreement"] or "", ""),
        CAVEAT,
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _price(numbers: Document) -> str:
    price = numbers["price"]
    changes = [
        f"{signed(price[f'change_{days}d'])} over {days} days"
        for days in (7, 30)
        if price[f"change_{days}d"] is not None
    ]
    told = f" ({', '.join(changes)})" if changes else ""
    return f"{numbers['symbol']} closed at {amount(price['last'])} on {numbers['as_of']}{told}."


def _forecast(request: InsightRequest, forecast: Document) -> str:
    end = forecast["predictions"][-1]
    when = "the next day" if request.days == 1 else f"in {request.days} days"
    model = "The mean of both models" if request.method == "ensemble" else f"The {request.method}"
    return (
        f"{model} expects {amount(end['value'])} {when} ({signed(forecast['expected_change'])}),"
        f" and with a probability of {share(forecast['interval'])} a price between"
        f" {amount(end['lower'])} and {amount(end['upper'])}."
    )


def _risk(risk: Document) -> str:
    fall = risk["max_drawdown"]
    return (
        f"Over the last {risk['observations']} days, one day in twenty lost"
        f" {share(risk['value_at_risk']['95'])} or more; volatility was"
        f" {share(risk['volatility_annualized'])} a year, and the deepest fall"
        f" {share(fall['value'])}, from {fall['peak']} to {fall['trough']}."
    )


def _sentiment(sentiment: Document | None) -> str:
    if sentiment is None:
        return ""
    counts = sentiment["counts"]
    told = ", ".join(f"{count} {label}" for label, count in counts.items())
    total = sum(counts.values())
    noun = "text sounds" if total == 1 else "texts sound"
    return (
        f"{total} {noun} {sentiment['label']} together (score {sentiment['score']:+.2f}: {told})."
    )


def amount(price: float) -> str:
    """A price as people write it: 64,230.12, or 0.00001234."""
    if price >= 1 or price <= 0:
        return f"{price:,.2f}"
    return f"{price:.{SMALL_DIGITS - 1 - math.floor(math.log10(price))}f}"


def share(fraction: float) -> str:
    """0.048 as 4.8 %."""
    return f"{fraction * 100:.1f} %".replace(".0 %", " %")


def signed(fraction: float) -> str:
    """0.048 as +4.8 %."""
    return f"{fraction * 100:+.1f} %"
