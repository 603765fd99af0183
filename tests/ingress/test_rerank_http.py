"""Rerank over HTTP: whose model answers, what is reserved and billed, what is refused and named."""

import json
from typing import Any

import httpx
import pytest

from core.model import ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.openai import OpenAI
from ingress.rerank import RerankEndpoints
from tests.fakes.dispatch import KEY, principal
from tests.ingress.test_http import error_of
from tests.ingress.test_path import World

PATH = "/v1/rerank"
ASKED: dict[str, Any] = {"query": "bells", "documents": ["a tower", "a bell"]}
BODY = {
    "id": "rerank-1",
    "model": "cross",
    "results": [
        {"index": 1, "relevance_score": 0.9},
        {"index": 0, "relevance_score": 0.1},
    ],
    "usage": {"prompt_tokens": 9, "total_tokens": 9},
    "meta": {"billed_units": {"input_tokens": 9}},
}
CARDS = [
    ModelCard(id="echo", spec="deployments.echo:SPEC"),
    ModelCard(id="cross", spec="deployments.rerank:SPEC", context_window=64),
    ModelCard(id="embed", spec="deployments.embeddings:SPEC", context_window=64),
]


@pytest.fixture
def world():
    world = World(principal(plan="wide"))
    world.dispatcher.reply = Reply(json.dumps(BODY).encode(), WorkUnits(input_tokens=9))
    return world


@pytest.fixture
async def client(world):
    catalog = Catalog(CARDS)
    endpoints = [
        *RerankEndpoints(world.path, catalog).endpoints(),
        *OpenAI(world.path, catalog).endpoints(),
    ]
    transport = httpx.ASGITransport(Application(endpoints, "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


async def test_the_answer_is_the_model_s_own_and_billed_once(client, world):
    response = await client.post(PATH, json=ASKED)
    assert response.status_code == 200
    assert response.json() == BODY
    assert [s.units for s in world.settlements()] == [WorkUnits(input_tokens=9)]
    query, first, second = 5, 7, 6  # bytes: a token is at least one
    assert world.dispatcher.calls[0].reserved.input_tokens == 2 * (query + 4) + first + second
    assert "x-ratelimit-remaining-tokens" in response.headers


async def test_documents_have_a_first_model_and_every_other_one_by_its_name(client, world):
    assert (await client.post(PATH, json=ASKED)).status_code == 200
    assert world.dispatcher.calls[0].model == "cross"
    assert (await client.post(PATH, json=ASKED | {"model": "embed"})).status_code == 200
    same = await client.post("/v1/models/embed/rerank", json=ASKED)
    assert same.headers["x-cache"] == "HIT"


async def test_the_same_question_is_answered_from_the_cache_and_another_is_not(client):
    verdicts = [
        (await client.post(PATH, json=ASKED | more)).headers["x-cache"]
        for more in (
            {},
            {"model": "cross", "user": "left alone"},
            {"top_n": 1},
            {"return_documents": True},
            {"documents": ["a bell", "a tower"]},
        )
    ]
    assert verdicts == ["MISS", "HIT", "MISS", "MISS", "MISS"]


@pytest.mark.parametrize(
    ("body", "status", "code", "param", "told"),
    [
        ({}, 400, "invalid_request", "query", "required"),
        ({"query": ""}, 400, "invalid_request", "query", "at least 1"),
        ({"documents": []}, 400, "invalid_request", "documents", "at least 1"),
        ({"documents": ["a", ""]}, 400, "invalid_request", "documents", "documents[1]"),
        ({"documents": ["a", {"a": 1}]}, 400, "invalid_request", "documents", "documents[1]"),
        ({"documents": ["a"] * 10_001}, 400, "invalid_request", "documents", "got 10001"),
        ({"documents": ["a", "x" * 5_000_000]}, 400, "invalid_request", "documents", "5000000"),
        ({"top_n": 0}, 400, "invalid_request", "top_n", "equal to 1"),
        ({"model": "nope"}, 404, "model_not_found", "model", "nope"),
        ({"model": "echo"}, 400, "invalid_request", "model", "cannot do 'rerank'"),
        ({"model": 7}, 400, "invalid_request", "model", "string"),
    ],
)
async def test_what_cannot_be_ranked_is_named_and_costs_nothing(
    client, world, body, status, code, param, told
):
    response = await client.post(PATH, json=(ASKED | body) if body else {})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert told in error["message"] or "Field" in error["message"]
    assert len(response.content) < 1_000
    assert not world.admission.events


async def test_who_may_not_is_told_before_anything_is_read(client, world):
    nobody = await client.post(PATH, content=b"{", headers={"authorization": "Bearer wrong"})
    assert nobody.status_code == 401
    world.identifier.known = principal(scopes=frozenset(), plan="wide")
    world.identifier.reload = world.identifier.known
    assert (await client.post(PATH, json=ASKED)).status_code == 403


async def test_more_than_the_window_has_left_is_refused_before_the_model_is_asked(client, world):
    response = await client.post(PATH, json=ASKED | {"documents": ["x" * 100] * 20})
    assert response.status_code == 429
    assert not world.dispatcher.calls
