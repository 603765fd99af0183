"""Market insight over HTTP: what reaches the graph, and where the chart goes."""

import base64
import json

import httpx
import pytest

from core.errors import NotFound
from core.forecast import HistoryRequest
from core.market import InsightRequest
from core.model import ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.forecast import ForecastEndpoints
from ingress.market import MAX_BODY_BYTES, MarketEndpoints
from tests.fakes.dispatch import KEY
from tests.ingress.test_forecast_http import RecordingDispatcher
from tests.ingress.test_images_http import Shelf
from tests.ingress.test_path import World

INSIGHTS = "/v1/forecasts/insights"
CHART = {"media_type": "image/png", "b64_json": base64.b64encode(b"chart").decode(), "data": {}}


class Desk(World):
    """A request path in front of a dispatcher, and a shelf for charts."""

    def __init__(self):
        super().__init__()
        self.shelf = Shelf()
        self.dispatcher = self.path._dispatcher = RecordingDispatcher()
        self.say(CHART)

    def say(self, chart):
        body = json.dumps({"object": "market.insight", "chart": chart}).encode()
        self.dispatcher.reply = Reply(body, WorkUnits(rows=500))


@pytest.fixture
def world():
    return Desk()


@pytest.fixture
async def client(world):
    catalog = Catalog(
        [
            ModelCard(id="forecast", spec="deployments.forecast:SPEC"),
            ModelCard(id="market-insight", spec="graphs.market:SPEC"),
        ]
    )
    parts = (
        ForecastEndpoints(world.path, catalog),
        MarketEndpoints(world.path, catalog, world.shelf),
    )
    endpoints = [endpoint for part in parts for endpoint in part.endpoints()]
    transport = httpx.ASGITransport(Application(endpoints, "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_a_report_is_asked_answered_reserved_and_billed(client, world):
    asked = {"symbol": "btc", "days": 14, "texts": ["up"]}
    response = await client.post(INSIGHTS, json=asked)
    assert response.json()["chart"] == CHART
    assert world.dispatcher.asked == [
        ("insights", InsightRequest(symbol="BTC", days=14, texts=["up"]))
    ]
    reserved = world.dispatcher.calls[0].reserved
    assert (reserved.rows, reserved.characters) == (97 + 14 + 90 + 365, 2)
    assert [s.units.rows for s in world.settlements()] == [500]
    assert world.shelf.published == []


async def test_a_chart_by_url_is_in_the_media_store(client, world):
    fields = {"symbol": "BTC", "response_format": "url"}
    for _ in range(2):  # the second from the cache, with a URL of its own
        chart = (await client.post(INSIGHTS, json=fields)).json()["chart"]
        assert "b64_json" not in chart
    assert chart["url"] == "http://test/media/2"
    assert world.shelf.published == [("t", b"chart", "image/png")] * 2
    assert len(world.dispatcher.asked) == 1
    world.say(None)
    none = await client.post(INSIGHTS, json=fields | {"chart": False})
    assert none.json()["chart"] is None


async def test_without_room_for_the_chart_nothing_is_computed(client, world):
    world.shelf.full = True
    response = await client.post(INSIGHTS, json={"symbol": "BTC", "response_format": "url"})
    assert response.status_code == 403
    assert world.dispatcher.asked == []
    assert (await client.post(INSIGHTS, json={"symbol": "BTC"})).status_code == 200


async def test_the_tokens_of_a_commentary_are_reserved_too(client, world):
    asked = {"symbol": "BTC", "commentary": True}
    response = await client.post(INSIGHTS, json=asked)
    assert response.status_code == 429  # the plan has 1,000 tokens a minute
    assert world.dispatcher.asked == []


async def test_history_is_asked_of_the_forecast_model(client, world):
    assert (await client.get("/v1/forecasts/btc/history?days=30")).status_code == 200
    assert world.dispatcher.asked == [("history", HistoryRequest(symbol="BTC", days=30))]
    assert world.dispatcher.calls[0].reserved.rows == 30
    for query, param in (("days=0", "days"), ("days=x", "days"), ("symbol=ETH", "symbol")):
        response = await client.get(f"/v1/forecasts/btc/history?{query}")
        assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "symbol"),
        ({"symbol": "B C"}, 400, "symbol"),
        ({"symbol": "BTC", "days": 91}, 400, "days"),
        ({"symbol": "BTC", "news": ["x"]}, 400, "news"),
        ({"symbol": "BTC", "response_format": "pdf"}, 400, "response_format"),
        ({"symbol": "BTC", "chart": {"width": 1}}, 400, "chart.width"),
        ({"symbol": "BTC", "model": "forecast"}, 400, "model"),
        ({"symbol": "BTC", "model": "x"}, 404, "model"),
    ],
)
async def test_a_bad_request_names_its_field_and_costs_nothing(client, world, body, status, param):
    response = await client.post(INSIGHTS, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)
    assert not world.admission.events


async def test_what_the_graph_cannot_know_is_said_as_it_is(client, world):
    world.dispatcher.error = NotFound("no configured source knows 'X'", "symbol")
    response = await client.post(INSIGHTS, json={"symbol": "X"})
    assert (response.status_code, response.json()["error"]["param"]) == (404, "symbol")


async def test_no_answer_without_a_key_nor_to_a_body_over_two_mebibytes(client):
    response = await client.post(INSIGHTS, json={}, headers={"authorization": ""})
    assert response.status_code == 401
    response = await client.post(INSIGHTS, content=b" " * (MAX_BODY_BYTES + 1))
    assert response.status_code == 413
