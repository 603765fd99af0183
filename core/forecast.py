"""Price forecasting requests: forecasts, history, risk, sentiment, supported coins.

Place in the path: parsed once by the gateway (step 1); forecast models receive the same types.
Work is counted in rows: points read plus points predicted. Texts are counted in characters. It
knows neither where prices come from nor how they are predicted.
"""

import itertools
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from core.model import ModelCard
from core.work import WorkUnits

Method = Literal["lstm", "transformer", "ensemble"]

LONGEST_HORIZON = 90
LEAST_POINTS = 64
MOST_POINTS = 10_000
CONTEXT_POINTS = 97
"""Days of a coin's history that one forecast reads: a window of 96 returns."""
LEAST_RISK_DAYS = 30
MOST_HISTORY_DAYS = 3650
MOST_TEXTS = 256
LONGEST_TEXT = 1_000
"""Characters: headlines and posts. What is longer says several things; send its parts."""
SMALLEST_PRICE, LARGEST_PRICE = 1e-12, 1e15

Symbol = Annotated[
    str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z0-9]{1,15}$")
]
Price = Annotated[float, Field(strict=True, ge=SMALLEST_PRICE, le=LARGEST_PRICE)]
Texts = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TEXT)]],
    Field(min_length=1, max_length=MOST_TEXTS),
]


class Strict(BaseModel):
    """Base of these requests: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class PricePoint(Strict):
    """One point of a series. `volume` helps; what cannot be known is left out."""

    time: datetime | None = None
    close: Price
    volume: float | None = Field(None, strict=True, ge=0, le=1e30)

    @field_validator("time")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        """A time without a zone is UTC."""
        if value is None or value.tzinfo is None:
            return value and value.replace(tzinfo=UTC)
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("is outside the calendar") from error


class ForecastRequest(Strict):
    """POST /v1/forecasts: the next days of a coin, or the next steps of a series of one's own."""

    model: str | None = None
    symbol: Symbol | None = None
    series: list[PricePoint] | None = Field(None, min_length=LEAST_POINTS, max_length=MOST_POINTS)
    """Points, or plain numbers; equally spaced, oldest first."""
    horizon: int = Field(7, ge=1, le=LONGEST_HORIZON)
    """Days, or steps of the series."""
    method: Method = "ensemble"
    interval: float = Field(0.9, ge=0.5, le=0.99)
    """Probability that a value lies between `lower` and `upper`."""

    @field_validator("series", mode="before")
    @classmethod
    def _numbers_are_points(cls, value: Any) -> Any:
        if not isinstance(value, list) or len(value) > MOST_POINTS:
            return value
        return [{"close": p} if isinstance(p, (int, float)) else p for p in value]

    @field_validator("series")
    @classmethod
    def _times_go_on(cls, value: list[PricePoint] | None) -> list[PricePoint] | None:
        if value is None:
            return value
        times = [point.time for point in value if point.time is not None]
        if times and len(times) < len(value):
            raise ValueError("give every point a 'time', or none")
        for index, (before, after) in enumerate(itertools.pairwise(times), start=1):
            if after <= before:
                raise ValueError(f"point {index} is not later than the one before it")
        return value

    @model_validator(mode="after")
    def _one_input(self) -> "ForecastRequest":
        if (self.symbol is None) == (self.series is None):
            raise ValueError("give exactly one of 'symbol' and 'series'")
        return self


class HistoryRequest(Strict):
    """GET /v1/forecasts/{symbol}/history: the latest closes of a coin."""

    model: str | None = None
    symbol: Symbol
    days: int = Field(90, ge=1, le=MOST_HISTORY_DAYS)
    """Most days; fewer are answered when fewer are known."""


class RiskRequest(Strict):
    """GET or POST /v1/forecasts/{symbol}/risk."""

    model: str | None = None
    symbol: Symbol
    window: int = Field(365, ge=LEAST_RISK_DAYS, le=MOST_HISTORY_DAYS)
    """Most days of history to measure; fewer are used when there are fewer."""


class SentimentRequest(Strict):
    """POST /v1/forecasts/{symbol}/sentiment: what supplied texts say about a coin."""

    model: str | None = None
    symbol: Symbol
    texts: Texts


class CoinsRequest(Strict):
    """GET /v1/forecasts/coins."""

    model: str | None = None


def estimate_forecast(request: ForecastRequest, card: ModelCard) -> WorkUnits:
    """Points read plus points predicted."""
    read = CONTEXT_POINTS if request.series is None else len(request.series)
    return WorkUnits(rows=read + request.horizon)


def estimate_history(request: HistoryRequest, card: ModelCard) -> WorkUnits:
    """Days of history."""
    return WorkUnits(rows=request.days)


def estimate_risk(request: RiskRequest, card: ModelCard) -> WorkUnits:
    """Days of history."""
    return WorkUnits(rows=request.window)


def estimate_sentiment(request: SentimentRequest, card: ModelCard) -> WorkUnits:
    """Characters of the texts."""
    return WorkUnits(characters=sum(len(text) for text in request.texts))


def estimate_coins(request: CoinsRequest, card: ModelCard) -> WorkUnits:
    """A look-up is one row, however long the list."""
    return WorkUnits(rows=1)
