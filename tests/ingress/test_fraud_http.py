"""Fraud over HTTP: its paths, what is reserved, and bad input in the caller's words."""

import json

import httpx
import pytest

from core.fraud_rows import MAX_ROWS
from core.model import ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fraud import FraudEndpoints
from tests.fakes.dispatch import KEY
from tests.ingress.test_http import error_of
from tests.ingress.test_path import World

ANALYSES = "/v1/fraud/analyses"
ROW = {"amount": 12.5, "hour": 9}
RESULT = {
    "score": 0.98,
    "decision": "decline",
    "reasons": [{"feature": "hour", "value": 3.0, "contribution": 1.2, "text": "it is night"}],
}
BODY = {
    "id": "fraud-1",
    "object": "fraud.analysis",
    "model": "fraud",
    "kind": "transaction",
    "results": [RESULT],
    "usage": {"rows": 1},
}


@pytest.fixture
def world():
    world = World()
    world.dispatcher.reply = Reply(json.dumps(BODY).encode(), WorkUnits(rows=1))
    return world


@pytest.fixture
async def client(world):
    catalog = Catalog([ModelCard(id="fraud", spec="deployments.fraud:SPEC")])
    application = Application(FraudEndpoints(world.path, catalog).endpoints(), "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_an_analysis_is_the_models_own_answer(client, world):
    response = await client.post(ANALYSES, json={"kind": "transaction", "features": ROW})
    assert response.status_code == 200
    assert response.json() == BODY
    assert [s.units for s in world.settlements()] == [WorkUnits(rows=1)]


@pytest.mark.parametrize(
    ("rows", "count"),
    [({"rows": [ROW] * 7}, 7), ({"columns": {"amount": [1.0] * 40}}, 40), ({"features": ROW}, 1)],
)
async def test_rows_are_reserved_before_they_are_judged(client, world, rows, count):
    await client.post(ANALYSES, json={"kind": "transaction"} | rows)
    assert world.dispatcher.calls[0].reserved == WorkUnits(rows=count)


async def test_the_same_rows_again_are_a_hit(client):
    for verdict in ("MISS", "HIT"):
        response = await client.post(ANALYSES, json={"kind": "transaction", "features": ROW})
        assert response.headers["x-cache"] == verdict


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"features": ROW}, "invalid_request", "kind"),
        ({"kind": "insurance", "features": ROW}, "invalid_request", "kind"),
        ({"kind": "transaction"}, "invalid_request", "features"),
        ({"kind": "transaction", "features": ROW, "rows": [ROW]}, "invalid_request", "rows"),
        ({"kind": "transaction", "rows": []}, "invalid_request", "rows"),
        (
            {"kind": "transaction", "rows": [ROW, {"amount": -1}]},
            "invalid_request",
            "rows.1.amount",
        ),
        ({"kind": "network", "features": ROW}, "unknown_parameter", "features.amount"),
        ({"kind": "transaction", "features": ROW | {"x": 1}}, "unknown_parameter", "features.x"),
        ({"kind": "transaction", "features": ROW, "stream": True}, "unknown_parameter", "stream"),
        ({"kind": "transaction", "features": ROW, "threshold": 2}, "invalid_request", "threshold"),
        (
            {"kind": "transaction", "rows": [ROW] * 1001, "explain": True},
            "invalid_request",
            "explain",
        ),
        (
            {"kind": "transaction", "columns": {"amount": [1] * (MAX_ROWS + 1)}},
            "invalid_request",
            "columns",
        ),
    ],
)
async def test_bad_rows_are_named_and_cost_nothing(client, world, body, code, param):
    response = await client.post(ANALYSES, json=body)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert not world.admission.events


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_numbers_that_are_none_are_refused(client, world, number):
    body = f'{{"kind": "transaction", "features": {{"amount": {number}}}}}'
    response = await client.post(ANALYSES, content=body)
    assert response.status_code == 400
    assert error_of(response)["code"] in ("malformed_body", "invalid_request")
    assert not world.admission.events


async def test_a_million_rows_are_refused_with_the_limit(client, world):
    body = b'{"kind":"transaction","columns":{"amount":[' + b"1," * 999_999 + b"1]}}"
    response = await client.post(ANALYSES, content=body)
    assert response.status_code == 400
    assert "at most 100,000 rows" in error_of(response)["message"]
    objects = b'{"kind":"transaction","rows":[' + b'{"amount":12.50},' * 1_300_000 + b"{}]}"
    response = await client.post(ANALYSES, content=objects)
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")
    assert not world.admission.events


async def test_the_older_path_takes_type_and_data_and_answers_flat(client):
    response = await client.post("/analyze", json={"type": "transaction", "data": ROW})
    assert response.json() == {
        "type": "transaction",
        "is_fraud": True,
        "fraud_score": 0.98,
        "decision": "decline",
        "reasons": ["it is night"],
        "model": "fraud",
    }


@pytest.mark.parametrize("decision", ["approve", "allow", "clear"])
async def test_the_older_path_calls_fraud_only_what_was_stopped_or_looked_at(
    client, world, decision
):
    answer = BODY | {"results": [RESULT | {"decision": decision}]}
    world.dispatcher.reply = Reply(json.dumps(answer).encode(), WorkUnits(rows=1))
    response = await client.post("/analyze", json={"type": "transaction", "data": ROW})
    assert response.json()["is_fraud"] is False


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"type": "transaction", "data": {"amount": "x"}}, "invalid_request", "data.amount"),
        ({"type": "transaction", "data": ROW | {"x": 1}}, "unknown_parameter", "data.x"),
        ({"type": "transaction", "data": [ROW]}, "invalid_request", "data"),
        ({"type": "insurance", "data": ROW}, "invalid_request", "type"),
        ({"data": ROW}, "invalid_request", "type"),
    ],
)
async def test_the_older_path_names_faults_by_its_own_fields(client, body, code, param):
    response = await client.post("/analyze", json=body)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert "features" not in error["message"].partition(":")[0]


async def test_drift_is_asked_by_kind_and_never_cached(client, world):
    for path in ("/v1/fraud/drift", "/v1/fraud/drift?kind=network&model=fraud"):
        response = await client.get(path)
        assert response.status_code == 200
        assert response.headers["x-cache"] == "BYPASS"
    assert world.dispatcher.calls[0].reserved == WorkUnits()
    wrong = await client.get("/v1/fraud/drift?kind=insurance")
    assert (wrong.status_code, error_of(wrong)["param"]) == (400, "kind")
    unknown = await client.get("/v1/fraud/drift?window=5")
    assert error_of(unknown)["code"] == "unknown_parameter"


async def test_credentials_come_before_the_body(client):
    for method, path in (("POST", ANALYSES), ("POST", "/analyze"), ("GET", "/v1/fraud/drift")):
        response = await client.request(method, path, headers={"authorization": ""}, content=b"{")
        assert response.status_code == 401


async def test_the_schema_describes_each_kind(client):
    document = (await client.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["FraudRequest"]["properties"]
    kinds = {option["title"]: option for option in schema["features"]["oneOf"]}
    assert set(kinds) == {"transaction", "network", "trading"}
    assert kinds["transaction"]["required"] == ["amount"]
