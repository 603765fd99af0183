"""SQL assist over HTTP: what is reserved, what is refused, and the older path."""

import json

import httpx
import pytest

from core.model import ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.sql import SqlEndpoints
from tests.fakes.dispatch import KEY
from tests.ingress.test_http import error_of
from tests.ingress.test_path import World

BODY = {
    "id": "sql-1",
    "object": "sql.assistance",
    "model": "sql",
    "action": "generate",
    "dialect": "postgres",
    "sql": "SELECT name FROM users",
    "valid": True,
    "repaired": False,
    "changes": [],
    "explanation": ["Reads users.", "Shows name."],
    "summary": None,
    "errors": [],
    "warnings": ["a word"],
    "suggestions": [{"kind": "index", "message": "look", "sql": "CREATE INDEX i ON users(name)"}],
    "plan": None,
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
CARD = ModelCard(id="sql", spec="graphs.sql:SPEC", context_window=100, max_output_tokens=10)


@pytest.fixture
def world():
    world = World()
    world.dispatcher.reply = Reply(
        json.dumps(BODY).encode(), WorkUnits(input_tokens=3, output_tokens=4)
    )
    return world


@pytest.fixture
async def client(world):
    application = Application(SqlEndpoints(world.path, Catalog([CARD])).endpoints(), "test")
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_the_answer_is_the_graph_s_own_and_billed_once(client, world):
    response = await client.post("/v1/sql", json={"query": "names"})
    assert response.json() == BODY
    assert [s.units for s in world.settlements()] == [WorkUnits(input_tokens=3, output_tokens=4)]
    assert world.dispatcher.calls[0].reserved.output_tokens == 20
    again = await client.post("/v1/sql", json={"query": "names"})
    assert again.headers["x-cache"] == "HIT"
    other = await client.post("/v1/sql", json={"query": "names", "schema": "users(id)"})
    assert other.headers["x-cache"] == "MISS"


async def test_the_older_path_answers_in_its_own_fields(client, world):
    asked = {"query": "names", "schema": "users(id, name)", "action": "generate"}
    response = await client.post("/ai/sql/assist", json=asked)
    assert response.json() == {
        "sql": "SELECT name FROM users",
        "explanation": "Reads users. Shows name.",
        "suggestions": ["a word", "look: CREATE INDEX i ON users(name)"],
        "cached": False,
    }
    again = await client.post("/ai/sql/assist", json=asked)
    assert again.json()["cached"] is True
    explained = await client.post("/ai/sql/assist", json=asked | {"action": "explain"})
    assert explained.json()["sql"] is None


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_request", "query"),
        ({"query": ""}, "invalid_request", "query"),
        ({"query": "  \n"}, "invalid_request", "query"),
        ({"query": "x" * 20_001}, "invalid_request", "query"),
        ({"query": "x", "action": "run"}, "invalid_request", "action"),
        ({"query": "x", "dialect": "cobol"}, "invalid_request", "dialect"),
        ({"query": "x", "dialect": 3}, "invalid_request", "dialect"),
        ({"query": "x", "schema": 3}, "invalid_request", "schema"),
        ({"query": "x", "schema": "x" * 200_001}, "invalid_request", "schema"),
        ({"query": "x", "schema": {}}, "invalid_request", "schema.tables"),
        ({"query": "x", "schema": {"users": []}}, "invalid_request", "schema.tables.0.columns"),
        ({"query": "x", "schema": {"users": [""]}}, "invalid_request", None),
        ({"query": "x", "schema": {"users": {"a": 3}}}, "invalid_request", None),
        (
            {"query": "x", "schema": {"tables": [{"name": "t", "columns": ["a"], "rows": 3}]}},
            "unknown_parameter",
            "schema.tables.0.rows",
        ),
        ({"query": "x", "stream": True}, "unknown_parameter", "stream"),
        ({"query": "x", "tenant": "t"}, "unknown_parameter", "tenant"),
        ({"query": "x", "model": "nobody"}, "model_not_found", "model"),
    ],
)
async def test_bad_requests_are_named_and_cost_nothing(client, world, body, code, param):
    response = await client.post("/v1/sql", json=body)
    error = error_of(response)
    assert response.status_code in (400, 404)
    assert error["code"] == code, error
    if param is not None:
        assert error["param"] == param
    assert not world.admission.events


@pytest.mark.parametrize("name", ["PostgreSQL", "mssql", "MySQL"])
async def test_dialects_go_by_their_usual_names(client, name):
    assert (await client.post("/v1/sql", json={"query": "x", "dialect": name})).status_code == 200


async def test_credentials_come_before_the_body(client):
    for path in ("/v1/sql", "/ai/sql/assist"):
        response = await client.post(path, headers={"authorization": ""}, content=b"{")
        assert response.status_code == 401
