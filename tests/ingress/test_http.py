"""Bad input over HTTP: the error of the caller's dialect, never a 500, nothing charged."""

import json

import httpx
import pytest

from core.model import ModelCard
from ingress.application import Application, starting
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.openai import OpenAI
from ingress.responses import json_response
from tests.fakes.dispatch import KEY, principal
from tests.ingress.test_path import World

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
CHAT = "/v1/chat/completions"


@pytest.fixture
def world():
    return World()


@pytest.fixture
async def client(world):
    catalog = Catalog(
        [
            ModelCard(id="echo", spec="deployments.echo:SPEC"),
            ModelCard(id="org/embed", spec="deployments.embeddings:SPEC", aliases=("ada",)),
        ]
    )

    async def broken(exchange):
        raise RuntimeError("a bug with a secret ck-0123456789abcdef-secret")

    async def read(exchange):
        return json_response({"bytes": len(await exchange.body())})

    application = Application(
        [
            *OpenAI(world.path, catalog).endpoints(),
            Endpoint("GET", "/broken", broken, "A bug"),
            Endpoint("POST", "/small", read, "At most 100 bytes", max_body_bytes=100),
        ],
        "test",
    )
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


def error_of(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    assert error["param"] is None or isinstance(error["param"], str)
    assert "Traceback" not in response.text
    return error


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "malformed_body", None),
        (b"[]", 400, "malformed_body", None),
        (b'"text"', 400, "malformed_body", None),
        (b"\xff\xfe", 400, "malformed_body", None),
        (b"", 400, "invalid_request", "messages"),
        (b"[" * 100_000, 400, "malformed_body", None),
        (b'{"model": "echo", "messages": []}', 400, "invalid_request", "messages"),
        (b'{"model": 7, "messages": []}', 400, "invalid_request", "model"),
        (
            b'{"model": "nope", "messages": [{"role":"user","content":"x"}]}',
            404,
            "model_not_found",
            "model",
        ),
        (json.dumps(HELLO | {"cache_salt": "x"}).encode(), 400, "unknown_parameter", "cache_salt"),
        (
            json.dumps(HELLO | {"temperature": "hot"}).encode(),
            400,
            "invalid_request",
            "temperature",
        ),
        (json.dumps(HELLO | {"max_tokens": 0}).encode(), 400, "invalid_request", "max_tokens"),
        (json.dumps(HELLO | {"n": 10**30}).encode(), 400, "invalid_request", "n"),
        (json.dumps(HELLO | {"stream": "maybe"}).encode(), 400, "invalid_request", "stream"),
        (
            json.dumps(HELLO | {"messages": [{"role": "robot"}]}).encode(),
            400,
            "invalid_request",
            "messages.0.role",
        ),
    ],
)
async def test_a_bad_body_is_named_and_costs_nothing(client, world, body, status, code, param):
    response = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert not world.admission.events


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": f"Bearer {KEY} extra"},
        {"authorization": "Bearer " + "x" * 5000},
        {"x-api-key": "different"},
        {"authorization": b"Bearer \xff\xfe"},
    ],
)
async def test_bad_credentials_are_a_401_before_the_body_is_looked_at(client, headers):
    response = await client.post(CHAT, content=b"{", headers=headers)
    assert response.status_code == 401
    assert error_of(response)["code"] in ("invalid_api_key", "missing_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_the_key_is_read_from_every_header_that_clients_use(client):
    del client.headers["authorization"]
    for headers in ({"x-api-key": KEY}, {"Authorization": f"bearer {KEY}"}, {"X-Admin-Key": KEY}):
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_form_is_an_unsupported_media_type(client):
    response = await client.post(CHAT, data={"model": "echo"})
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_refused_declared_or_not(client):
    async def chunks():
        for _ in range(20):
            yield b"x" * 10

    for content in (b"x" * 101, chunks()):
        response = await client.post("/small", content=content)
        assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")
    assert (await client.post("/small", content=b"x" * 100)).json() == {"bytes": 100}


async def test_a_bug_is_a_500_without_its_text(client):
    response = await client.get("/broken")
    assert (response.status_code, error_of(response)["message"]) == (500, "internal error")


async def test_paths_and_methods_that_do_not_exist(client):
    missing = await client.get("/v1/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = await client.get(CHAT)
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")


async def test_models_are_listed_with_ids_that_can_be_asked_for(client):
    listed = (await client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["echo", "org/embed"]
    for model in listed["data"]:
        assert (await client.get(f"/v1/models/{model['id']}")).json() == model


async def test_a_key_sees_only_the_models_it_may_use(client, world):
    world.identifier.known = principal(allowed_models=frozenset({"echo"}))
    listed = (await client.get("/v1/models")).json()
    assert [model["id"] for model in listed["data"]] == ["echo"]
    assert (await client.get("/v1/models/org/embed")).status_code == 404


async def test_any_operation_of_any_model_has_a_path(client):
    response = await client.post("/v1/models/echo/chat", json={"messages": HELLO["messages"]})
    assert response.status_code == 200
    wrong = await client.post("/v1/models/echo/embed", json={})
    assert (wrong.status_code, error_of(wrong)["param"]) == (400, "model")
    assert "chat" in error_of(wrong)["message"]


async def test_a_stream_is_an_event_stream_with_rate_headers(client):
    response = await client.post(CHAT, json=HELLO | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-ratelimit-remaining-requests"] == "2"
    assert response.headers["x-cache"] == "MISS"
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_failure_mid_stream_is_the_streams_last_event(client, world):
    from core.errors import ModelUnavailable

    world.dispatcher.error = ModelUnavailable("the model stopped", None, 5.0)
    world.dispatcher.error_after = 1
    response = await client.post(CHAT, json=HELLO | {"stream": True})
    last = response.text.rstrip().splitlines()[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "model_unavailable"


async def test_a_refusal_says_exactly_when_to_come_back(client):
    for number in range(3):
        body = HELLO | {"seed": number}
        assert (await client.post(CHAT, json=body)).status_code == 200
    response = await client.post(CHAT, json=HELLO | {"seed": 4})
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after-ms"]) <= 60_000
    assert 0 < int(response.headers["retry-after"]) <= 60
    assert response.headers["x-ratelimit-remaining-requests"] == "0"


async def test_the_openapi_document_names_every_endpoint(client):
    document = (await client.get("/openapi.json")).json()
    assert "/v1/models/{model}/{operation}" in document["paths"]
    assert document["paths"][CHAT]["post"]["requestBody"]["required"]
    assert "ChatRequest" in document["components"]["schemas"]


async def test_a_gateway_that_knows_no_models_yet_says_come_back():
    """Not that they do not exist: a new replica may have the port of one that died."""
    transport = httpx.ASGITransport(starting)
    async with httpx.AsyncClient(transport=transport, base_url="http://carillon") as client:
        answer = await client.post("/v1/chat/completions", json={"model": "echo", "messages": []})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["message"] == "the gateway is starting"
