"""Forecasts over HTTP: what reaches the model, what its aliases translate, what is refused."""

import httpx
import pytest

from core.errors import DataSourceUnavailable, NotFound
from core.forecast import CoinsRequest, ForecastRequest, RiskRequest, SentimentRequest
from core.model import ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.forecast import MAX_BODY_BYTES, ForecastEndpoints
from tests.fakes.dispatch import KEY, ScriptedDispatcher
from tests.ingress.test_path import World

PRICES = [100.0 + i % 7 for i in range(64)]


class RecordingDispatcher(ScriptedDispatcher):
    """Also remembers what the model was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.reply = Reply(b'{"object":"forecast"}', WorkUnits(rows=71))

    async def answer(self, call, context):
        self.asked.append((call.operation_name, call.request))
        return await super().answer(call, context)


@pytest.fixture
def world():
    world = World()
    world.dispatcher = world.path._dispatcher = RecordingDispatcher()
    return world


@pytest.fixture
async def client(world):
    catalog = Catalog([ModelCard(id="forecast", spec="deployments.forecast:SPEC")])
    application = Application(ForecastEndpoints(world.path, catalog).endpoints(), "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_a_forecast_is_asked_answered_and_billed_in_rows(client, world):
    response = await client.post("/v1/forecasts", json={"symbol": "btc", "horizon": 30})
    assert (response.status_code, response.json()) == (200, {"object": "forecast"})
    assert world.dispatcher.asked == [("forecast", ForecastRequest(symbol="BTC", horizon=30))]
    assert [s.units.rows for s in world.settlements()] == [71]
    assert world.dispatcher.calls[0].reserved.rows == 97 + 30


async def test_a_series_is_taken_as_numbers_or_points(client, world):
    points = [{"time": f"2026-01-{1 + i:02}", "close": 1.5} for i in range(31)]
    points += [{"time": f"2026-03-{1 + i:02}", "close": 2.5, "volume": 3} for i in range(31)]
    points += [{"time": "2026-05-01T00:00:00Z", "close": 3.5}, {"time": 1.8e9, "close": 3}]
    assert (await client.post("/v1/forecasts", json={"series": PRICES})).status_code == 200
    assert (await client.post("/v1/forecasts", json={"series": points})).status_code == 200
    assert [len(request.series) for _, request in world.dispatcher.asked] == [64, 64]


async def test_the_same_question_again_is_answered_from_the_cache(client, world):
    for symbol in ("BTC", "btc"):
        response = await client.post("/v1/forecasts", json={"symbol": symbol})
    assert response.headers["x-cache"] == "HIT"
    assert len(world.dispatcher.asked) == 1


async def test_risk_is_asked_by_get_and_by_post(client, world):
    await client.get("/v1/forecasts/eth/risk?window=90")
    await client.post(
        "/v1/forecasts/ETH/risk", json={"window": 90}, headers={"cache-control": "no-store"}
    )
    assert world.dispatcher.asked == [("risk", RiskRequest(symbol="ETH", window=90))] * 2


async def test_sentiment_is_read_from_supplied_texts(client, world):
    await client.post("/v1/forecasts/SOL/sentiment", json={"texts": ["up", "down"]})
    await client.get(
        "/v1/forecasts/SOL/sentiment?text=up&text=down", headers={"cache-control": "no-store"}
    )
    expected = ("sentiment", SentimentRequest(symbol="SOL", texts=["up", "down"]))
    assert world.dispatcher.asked == [expected] * 2
    assert world.dispatcher.calls[0].reserved.characters == 6


@pytest.mark.parametrize("path", ["/v1/forecasts/BTC/sentiment", "/sentiment/BTC"])
async def test_sentiment_without_texts_says_to_supply_some(client, world, path):
    response = await client.get(path)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "texts")
    assert "texts that you supply" in error["message"]
    assert not world.admission.events


async def test_coins_are_an_operation_too(client, world):
    assert (await client.get("/v1/forecasts/coins")).status_code == 200
    assert world.dispatcher.asked == [("coins", CoinsRequest())]
    assert len(world.settlements()) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        (
            "POST",
            "/api/v1/crypto/predict",
            {"symbol": "btc", "days": 3},
            ("forecast", ForecastRequest(symbol="BTC", horizon=3)),
        ),
        (
            "POST",
            "/api/v1/crypto/predict",
            {"symbol": "BTC"},
            ("forecast", ForecastRequest(symbol="BTC", horizon=7)),
        ),
        ("GET", "/risk/BTC", None, ("risk", RiskRequest(symbol="BTC"))),
        (
            "GET",
            "/sentiment/BTC?text=to%20the%20moon",
            None,
            ("sentiment", SentimentRequest(symbol="BTC", texts=["to the moon"])),
        ),
        ("GET", "/supported-coins", None, ("coins", CoinsRequest())),
    ],
)
async def test_the_older_paths_ask_the_same_questions(client, world, method, path, body, expected):
    assert (await client.request(method, path, json=body)).status_code == 200
    assert world.dispatcher.asked == [expected]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        ("/v1/forecasts", {}, 400, "invalid_request", None),
        ("/v1/forecasts", {"symbol": "B C"}, 400, "invalid_request", "symbol"),
        ("/v1/forecasts", {"symbol": 7}, 400, "invalid_request", "symbol"),
        ("/v1/forecasts", {"symbol": "BTC", "horizon": 91}, 400, "invalid_request", "horizon"),
        ("/v1/forecasts", {"symbol": "BTC", "days": 9}, 400, "unknown_parameter", "days"),
        ("/v1/forecasts", {"symbol": "BTC", "model": "x"}, 404, "model_not_found", "model"),
        ("/v1/forecasts", {"series": PRICES[:63]}, 400, "invalid_request", "series"),
        ("/v1/forecasts", {"series": [*PRICES, 0]}, 400, "invalid_request", "series.64.close"),
        ("/v1/forecasts", {"series": [1] * 10_001}, 400, "invalid_request", "series"),
        ("/v1/forecasts/B%24C/risk", {}, 400, "invalid_request", "symbol"),
        ("/v1/forecasts/BTC/risk", {"window": 1}, 400, "invalid_request", "window"),
        ("/v1/forecasts/BTC/risk", {"symbol": "ETH"}, 400, "unknown_parameter", "symbol"),
        ("/v1/forecasts/BTC/sentiment", {}, 400, "invalid_request", "texts"),
        ("/v1/forecasts/BTC/sentiment", {"texts": []}, 400, "invalid_request", "texts"),
        ("/v1/forecasts/BTC/sentiment", {"texts": "up"}, 400, "invalid_request", "texts"),
        ("/v1/forecasts/BTC/sentiment", {"texts": [""]}, 400, "invalid_request", "texts.0"),
        (
            "/v1/forecasts/BTC/sentiment",
            {"texts": ["x" * 1001]},
            400,
            "invalid_request",
            "texts.0",
        ),
        ("/v1/forecasts/BTC/sentiment", {"texts": ["x"] * 257}, 400, "invalid_request", "texts"),
        ("/api/v1/crypto/predict", {"days": 3}, 400, "invalid_request", "symbol"),
        ("/api/v1/crypto/predict", {"symbol": "BTC", "days": 0}, 400, "invalid_request", "days"),
        (
            "/api/v1/crypto/predict",
            {"symbol": "BTC", "horizon": 3},
            400,
            "unknown_parameter",
            "horizon",
        ),
    ],
)
async def test_a_bad_request_names_its_field_and_costs_nothing(
    client, world, path, body, status, code, param
):
    response = await client.post(path, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert not world.admission.events


@pytest.mark.parametrize("query", ["window=x", "window=1", "windows=90", "window=", "symbol=ETH"])
async def test_a_bad_query_is_refused(client, world, query):
    response = await client.get(f"/v1/forecasts/BTC/risk?{query}")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == query.partition("=")[0]
    assert not world.admission.events


async def test_a_body_over_two_mebibytes_is_not_read(client):
    response = await client.post("/v1/forecasts", content=b" " * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/forecasts"),
        ("GET", "/v1/forecasts/coins"),
        ("GET", "/v1/forecasts/BTC/risk"),
        ("POST", "/v1/forecasts/BTC/risk"),
        ("GET", "/v1/forecasts/BTC/sentiment"),
        ("POST", "/v1/forecasts/BTC/sentiment"),
        ("POST", "/api/v1/crypto/predict"),
        ("GET", "/risk/BTC"),
        ("GET", "/sentiment/BTC"),
        ("GET", "/supported-coins"),
    ],
)
async def test_nothing_answers_without_a_key(client, method, path):
    response = await client.request(method, path, headers={"authorization": ""})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("error", "status", "code", "param"),
    [
        (NotFound("no configured source knows 'X'", "symbol"), 404, "not_found", "symbol"),
        (
            DataSourceUnavailable("data source unavailable: binance: HTTP 451", None, 30.0),
            503,
            "data_source_unavailable",
            None,
        ),
    ],
)
async def test_what_the_model_cannot_know_is_said_as_it_is(
    client, world, error, status, code, param
):
    world.dispatcher.error = error
    response = await client.post("/v1/forecasts", json={"symbol": "BTC"})
    told = response.json()["error"]
    assert (response.status_code, told["code"], told["param"]) == (status, code, param)
    assert told["message"] == error.message
    assert ("retry-after" in response.headers) == (status == 503)
