"""The numbers of a market insight, put together from what the models said.

Place in the path: between the branches and what is made of them: text, chart, JSON. Arithmetic
only: it predicts nothing and judges nothing.
"""

from typing import Any, NamedTuple

from core.market import CHANGE_DAYS, InsightRequest

DIGITS = 6
"""Decimals of fractions."""
LEANINGS = {"bullish": 1, "bearish": -1}
KEPT_OF_RISK = (
    "from",
    "as_of",
    "observations",
    "volatility_daily",
    "volatility_annualized",
    "value_at_risk",
    "expected_shortfall",
    "max_drawdown",
    "sharpe_ratio",
    "total_return",
)

Document = dict[str, Any]


class Parts(NamedTuple):
    """What the branches answered."""

    history: Document
    forecast: Document
    risk: Document
    sentiment: Document | None


def report(request: InsightRequest, parts: Parts) -> Document:
    """Everything of the answer that is a number, or follows from one."""
    forecast = _forecast(parts.forecast)
    sentiment = None if parts.sentiment is None else _sentiment(parts.sentiment)
    return {
        "symbol": request.symbol,
        "source": parts.history["source"],
        "as_of": parts.forecast["as_of"],
        "price": _price(parts.history["points"], parts.forecast["last_value"]),
        "forecast": forecast,
        "risk": {name: parts.risk[name] for name in KEPT_OF_RISK},
        "sentiment": sentiment,
        "agreement": _agreement(forecast["expected_change"], sentiment),
    }


def chart_data(request: InsightRequest, parts: Parts) -> Document:
    """What the chart shows."""
    points = parts.history["points"][-request.history :]
    return {
        "history": [{"time": point["time"], "value": point["close"]} for point in points],
        "forecast": [
            {name: step[name] for name in ("time", "value", "lower", "upper")}
            for step in parts.forecast["predictions"]
        ],
    }


def _price(points: list[Document], last: float) -> Document:
    """The last close, and its change since so many days before; None where none is known."""
    closes = [point["close"] for point in points]
    changes = {
        f"change_{days}d": _change(closes[-1 - days], last) if len(closes) > days else None
        for days in CHANGE_DAYS
    }
    return {"last": last} | changes


def _forecast(forecast: Document) -> Document:
    """The prediction, and what its last step means in fractions of today's price."""
    last, end = forecast["last_value"], forecast["predictions"][-1]
    return {
        "method": forecast["method"],
        "days": forecast["horizon"],
        "interval": forecast["interval"],
        "expected_change": _change(last, end["value"]),
        "lower_change": _change(last, end["lower"]),
        "upper_change": _change(last, end["upper"]),
        "predictions": forecast["predictions"],
    }


def _sentiment(sentiment: Document) -> Document:
    """The mood of all texts, and how many lean which way."""
    labels = [text["label"] for text in sentiment["texts"]]
    counts = {label: labels.count(label) for label in ("bullish", "neutral", "bearish")}
    return {
        "label": sentiment["label"],
        "score": sentiment["score"],
        "counts": counts,
        "texts": sentiment["texts"],
    }


def _agreement(expected_change: float, sentiment: Document | None) -> str | None:
    """Whether texts and forecast lean the same way; None where one of them does not lean."""
    leaning = LEANINGS.get("" if sentiment is None else sentiment["label"])
    if leaning is None or expected_change == 0:
        return None
    return "agree" if leaning * expected_change > 0 else "disagree"


def _change(before: float, after: float) -> float:
    """As a fraction: 0.05 is 5 % more."""
    return round(after / before - 1, DIGITS)
