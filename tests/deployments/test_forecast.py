"""The forecast model with its shipped weights: what it answers, and what it refuses."""

import asyncio
import itertools
import math

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import DataSourceUnavailable, InvalidRequest, NotFound
from core.forecast import (
    CoinsRequest,
    ForecastRequest,
    HistoryRequest,
    RiskRequest,
    SentimentRequest,
    estimate_forecast,
    estimate_history,
    estimate_risk,
    estimate_sentiment,
)
from core.model import CallContext, ModelCard
from deployments.forecast import SPEC, Forecast, ForecastSettings
from deployments.market_data import Day, MarketData, SourceFailure

CARD = ModelCard(id="forecast", spec="deployments.forecast:SPEC")


@pytest.fixture(scope="module")
def model():
    return Forecast(ForecastSettings(source="starter:starter_forecast"))


async def ask(model, **fields):
    reply = await model.forecast(ForecastRequest(**fields), CallContext("r"))
    return orjson.loads(reply.body), reply.units


def wave(count, level=100.0):
    """A series that moves, the same each time."""
    return [level * math.exp(0.02 * math.sin(i) + 0.01 * math.sin(i * i)) for i in range(count)]


async def test_a_coin_gets_the_next_days_with_their_dates_and_an_interval(model):
    answer, _ = await ask(model, symbol="btc", horizon=10)
    assert (answer["symbol"], answer["source"], answer["as_of"]) == ("BTC", "file", "2026-10-31")
    days = answer["predictions"]
    assert [day["time"] for day in days][:2] == ["2026-11-01", "2026-11-02"]
    assert [day["step"] for day in days] == list(range(1, 11))
    assert all(0 < day["lower"] < day["value"] < day["upper"] for day in days)
    assert abs(days[0]["value"] / answer["last_value"] - 1) < 0.05


async def test_history_is_the_latest_closes_and_where_they_are_from(model):
    request = HistoryRequest(symbol="btc", days=30)
    reply = await model.history(request, CallContext("r"))
    answer = orjson.loads(reply.body)
    points = answer["points"]
    assert (answer["symbol"], answer["source"], answer["as_of"]) == ("BTC", "file", "2026-10-31")
    assert [points[0]["time"], points[-1]["time"]] == ["2026-10-02", "2026-10-31"]
    assert reply.units == estimate_history(request, CARD)
    forecast, _ = await ask(model, symbol="BTC")
    assert points[-1]["close"] == forecast["last_value"]
    with pytest.raises(NotFound):
        await model.history(HistoryRequest(symbol="NOPE"), CallContext("r"))


@pytest.mark.parametrize("method", ["lstm", "transformer", "ensemble"])
async def test_later_days_are_less_certain(model, method):
    answer, _ = await ask(model, symbol="ETH", horizon=90, method=method)
    widths = [day["upper"] - day["lower"] for day in answer["predictions"]]
    assert widths[0] < widths[6] < widths[29] < widths[89]


async def test_methods_differ_and_the_ensemble_lies_between(model):
    at_30 = {}
    for method in ("lstm", "transformer", "ensemble"):
        answer, _ = await ask(model, symbol="SOL", horizon=30, method=method)
        at_30[method] = answer["predictions"][-1]["value"]
    low, high = sorted((at_30["lstm"], at_30["transformer"]))
    assert low != high
    slack = 0.01 * high  # each of the three is calibrated by itself
    assert low - slack <= at_30["ensemble"] <= high + slack


async def test_a_wider_interval_contains_a_narrower_one(model):
    found = [
        (await ask(model, symbol="ADA", horizon=5, interval=share))[0]["predictions"]
        for share in (0.5, 0.73, 0.9, 0.99)
    ]
    for narrow, wide in itertools.pairwise(found):
        for inner, outer in zip(narrow, wide, strict=True):
            assert outer["lower"] < inner["lower"] < inner["upper"] < outer["upper"]
            assert outer["value"] == inner["value"]


async def test_the_same_question_has_the_same_answer(model):
    first, _ = await ask(model, series=wave(200), horizon=20)
    again = await asyncio.gather(*(ask(model, series=wave(200), horizon=20) for _ in range(5)))
    assert all(answer == first for answer, _ in again)


async def test_an_answer_does_not_depend_on_the_unit_of_the_price(model):
    small, _ = await ask(model, series=wave(120, 0.001), horizon=10)
    large, _ = await ask(model, series=wave(120, 1e6), horizon=10)
    for one, other in zip(small["predictions"], large["predictions"], strict=True):
        assert other["upper"] / one["upper"] == pytest.approx(1e9, rel=1e-4)


async def test_a_bigger_past_movement_gives_a_wider_interval(model):
    calm, _ = await ask(model, series=[v**0.25 for v in wave(120)])
    wild, _ = await ask(model, series=wave(120))
    relative = [
        (a["predictions"][0]["upper"] - a["predictions"][0]["lower"]) / a["last_value"]
        for a in (calm, wild)
    ]
    assert relative[1] > 2 * relative[0]


async def test_work_is_points_read_and_predicted_and_never_over_the_estimate(model):
    for fields in (
        {"symbol": "BTC", "horizon": 30},
        {"series": wave(64), "horizon": 90},
        {"series": wave(500), "horizon": 1},
    ):
        answer, units = await ask(model, **fields)
        estimate = estimate_forecast(ForecastRequest(**fields), CARD)
        assert units.rows == answer["usage"]["rows"] <= estimate.rows
    assert units.rows == 501


async def test_a_series_with_times_continues_them(model):
    hourly = [
        {"time": 1_790_000_000 + 3600 * i, "close": price} for i, price in enumerate(wave(80))
    ]
    answer, _ = await ask(model, series=hourly, horizon=2)
    times = [answer["as_of"], *(p["time"] for p in answer["predictions"])]
    assert times == ["2026-09-24T21:13:20Z", "2026-09-24T22:13:20Z", "2026-09-24T23:13:20Z"]


async def test_a_series_of_days_is_answered_in_days_and_plain_numbers_in_steps(model):
    days = [
        {"time": f"2026-{1 + i // 28:02}-{1 + i % 28:02}", "close": p, "volume": 5.0 + i % 3}
        for i, p in enumerate(wave(64))
    ]
    answer, _ = await ask(model, series=days, horizon=1)
    assert answer["predictions"][0]["time"] == "2026-03-09"
    answer, _ = await ask(model, series=wave(64), horizon=1)
    assert "time" not in answer["predictions"][0]
    assert answer["as_of"] is None


async def test_volume_is_read_where_it_is_given(model):
    prices = wave(100)
    silent, _ = await ask(model, series=prices)
    loud, _ = await ask(
        model, series=[{"close": p, "volume": 1.0 + i**3} for i, p in enumerate(prices)]
    )
    assert silent["predictions"] != loud["predictions"]


EXTREME = {
    "constant": [5.0] * 64,
    "tiny": [1e-12] * 63 + [2e-12],
    "huge": [1e15] * 64,
    "exploding": [1e-12 * 2.65**i for i in range(64)],
    "a cliff": [1e15] * 63 + [1e-12],
    "alternating": [1e-12, 1e15] * 32,
}


@pytest.mark.parametrize("name", EXTREME)
async def test_extreme_series_get_finite_ordered_answers(model, name):
    answer, _ = await ask(model, series=EXTREME[name], horizon=90, interval=0.99)
    for day in answer["predictions"]:
        assert 0 < day["lower"] <= day["value"] <= day["upper"] < math.inf


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    series=st.lists(st.floats(1e-12, 1e15), min_size=64, max_size=130),
    horizon=st.integers(1, 90),
    interval=st.floats(0.5, 0.99),
)
def test_any_series_gets_finite_ordered_answers(model, series, horizon, interval):
    request = ForecastRequest(series=series, horizon=horizon, interval=interval)
    reply = asyncio.run(model.forecast(request, CallContext("r")))
    for day in orjson.loads(reply.body)["predictions"]:
        assert 0 < day["lower"] <= day["value"] <= day["upper"] < math.inf


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"series": wave(63)}, ("series",)),
        ({"series": [1.0] * 10_001}, ("series",)),
        ({"series": [*wave(63), 0.0]}, ("series", 63, "close")),
        ({"series": [*wave(63), -1.0]}, ("series", 63, "close")),
        ({"series": [*wave(63), math.nan]}, ("series", 63, "close")),
        ({"series": [*wave(63), math.inf]}, ("series", 63, "close")),
        ({"series": [*wave(63), True]}, ("series", 63, "close")),
        ({"series": [*wave(63), None]}, ("series", 63)),
        ({"series": [*wave(63), "9"]}, ("series", 63)),
        ({"series": [*wave(63), {"close": 1.0, "high": 2.0}]}, ("series", 63, "high")),
        ({"series": [*wave(63), {"close": 1.0, "volume": -1.0}]}, ("series", 63, "volume")),
        ({"series": [*wave(63), {"close": 1.0, "time": 1}]}, ("series",)),
        ({"series": [{"close": 1.0, "time": 5}] * 64}, ("series",)),
        ({"series": {"close": 1.0}}, ("series",)),
        ({"series": "1,2,3"}, ("series",)),
        ({"symbol": "BTC", "series": wave(64)}, ()),
        ({}, ()),
        ({"symbol": "BTC/../x"}, ("symbol",)),
        ({"symbol": ""}, ("symbol",)),
        ({"symbol": "B" * 16}, ("symbol",)),
        ({"symbol": "BTC", "horizon": 0}, ("horizon",)),
        ({"symbol": "BTC", "horizon": 91}, ("horizon",)),
        ({"symbol": "BTC", "interval": 0.4}, ("interval",)),
        ({"symbol": "BTC", "interval": 1.0}, ("interval",)),
        ({"symbol": "BTC", "interval": math.nan}, ("interval",)),
        ({"symbol": "BTC", "method": "arima"}, ("method",)),
        ({"symbol": "BTC", "leverage": 10}, ("leverage",)),
    ],
)
def test_a_bad_request_names_its_field(fields, where):
    with pytest.raises(ValidationError) as caught:
        ForecastRequest.model_validate(fields)
    assert caught.value.errors()[0]["loc"] == where


@pytest.mark.parametrize("time", ["9999-12-31T23:00:00-23:00", "0001-01-01T00:00:00+23:00"])
def test_a_time_outside_the_calendar_is_a_bad_request(time):
    with pytest.raises(ValidationError):
        ForecastRequest.model_validate({"series": [{"close": 1.0, "time": time}] * 64})


async def test_a_series_at_the_end_of_the_calendar_is_a_bad_request(model):
    late = [
        {"time": f"9999-{9 + i // 28:02}-{1 + i % 28:02}", "close": p}
        for i, p in enumerate(wave(100))
    ]
    with pytest.raises(InvalidRequest) as caught:
        await ask(model, series=late, horizon=90)
    assert caught.value.param == "series"


async def test_an_unknown_coin_is_not_found_and_named(model):
    for operation, request in (
        (model.forecast, ForecastRequest(symbol="NOPE")),
        (model.risk, RiskRequest(symbol="NOPE")),
        (model.sentiment, SentimentRequest(symbol="NOPE", texts=["up"])),
    ):
        with pytest.raises(NotFound) as caught:
            await operation(request, CallContext("r"))
        assert caught.value.param == "symbol"
        assert "BTC" in caught.value.message


async def test_the_coins_are_those_of_the_sample(model):
    reply = await model.coins(CoinsRequest(), CallContext("r"))
    data = orjson.loads(reply.body)["data"]
    assert [coin["symbol"] for coin in data] == ["ADA", "BTC", "ETH", "SOL", "XRP"]
    assert reply.units.rows == 1


class Given:
    """A source that has what a test gives it."""

    name = "given"
    caches = False

    def __init__(self, days):
        self.days = days

    async def symbols(self):
        return frozenset({"NEW"})

    async def history(self, symbol):
        if self.days is None:
            raise SourceFailure("on strike")
        return self.days


@pytest.fixture
def borrowed(model):
    market = model.market
    yield model
    model.market = market


async def test_a_coin_that_is_too_young_is_a_bad_request(borrowed):
    from datetime import date, timedelta

    days = tuple(Day(date(2026, 1, 1) + timedelta(days=i), 1.0 + i, None) for i in range(29))
    borrowed.market = MarketData([Given(days)], 0)
    for operation, request in (
        (borrowed.forecast, ForecastRequest(symbol="NEW")),
        (borrowed.risk, RiskRequest(symbol="NEW")),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await operation(request, CallContext("r"))
        assert caught.value.param == "symbol"
        assert "29 days" in caught.value.message


async def test_no_data_is_a_503_that_says_why(borrowed):
    borrowed.market = MarketData([Given(None)], 0)
    with pytest.raises(DataSourceUnavailable) as caught:
        await borrowed.forecast(ForecastRequest(symbol="NEW"), CallContext("r"))
    assert caught.value.message == "data source unavailable: given: on strike"
    assert caught.value.status_code == 503


async def test_risk_measures_the_window_that_was_asked_for(model):
    request = RiskRequest(symbol="XRP", window=90)
    reply = await model.risk(request, CallContext("r"))
    answer = orjson.loads(reply.body)
    assert (answer["observations"], answer["as_of"], answer["from"]) == (
        89,
        "2026-10-31",
        "2026-08-03",
    )
    assert reply.units.rows == 90 == estimate_risk(request, CARD).rows
    var, shortfall = answer["value_at_risk"], answer["expected_shortfall"]
    assert 0 < var["95"] <= var["99"] <= shortfall["99"] < 1
    assert var["95"] <= shortfall["95"] <= shortfall["99"]
    assert 0.1 < answer["volatility_annualized"] < 2
    assert 0 < answer["max_drawdown"]["value"] < 1


async def test_texts_about_rises_and_falls_are_told_apart(model):
    texts = [
        "Bitcoin soars to a new record as investors pile in",
        "Bitcoin crashes after exchange is hacked",
        "Bitcoin conference will be held in Lisbon in June",
    ]
    request, call = SentimentRequest(symbol="BTC", texts=texts), CallContext("r")
    answer = orjson.loads((await model.sentiment(request, call)).body)
    assert [text["label"] for text in answer["texts"]] == ["bullish", "bearish", "neutral"]
    up, down, flat = (text["score"] for text in answer["texts"])
    assert -1 <= down < -0.5 < flat < 0.5 < up <= 1
    assert answer["score"] == pytest.approx((up + down + flat) / 3, abs=1e-3)
    assert call.done == estimate_sentiment(request, CARD)


async def test_many_texts_are_read_in_the_order_they_came(model):
    texts = ["Ethereum rallies strongly", "Ethereum collapses"] * 20
    request = SentimentRequest(symbol="ETH", texts=texts)
    answer = orjson.loads((await model.sentiment(request, CallContext("r"))).body)
    assert [text["label"] for text in answer["texts"]] == ["bullish", "bearish"] * 20
    assert answer["label"] == "neutral"


async def test_a_caller_who_leaves_stops_the_reading_and_pays_for_what_was_read(model):
    call, began = CallContext("r"), asyncio.Event()
    whole = model.reader

    class OneBatch:
        def read(self, texts):
            loop.call_soon_threadsafe(began.set)
            return whole.read(texts)

    loop = asyncio.get_running_loop()
    model.reader = OneBatch()
    try:
        request = SentimentRequest(symbol="BTC", texts=["up " * 50] * 256)
        task = asyncio.create_task(model.sentiment(request, call))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        model.reader = whole
    assert call.done.characters < sum(len(text) for text in request.texts)


def test_importing_the_spec_loads_no_heavy_library():
    import subprocess
    import sys

    code = (
        "import sys, deployments.forecast;"
        "print([m for m in ('torch', 'numpy', 'pandas', 'httpx', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_operation_has_an_estimate():
    assert set(SPEC.operations) == {"forecast", "history", "risk", "sentiment", "coins"}
