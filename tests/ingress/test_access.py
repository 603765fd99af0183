"""Every request is counted and logged once, whatever became of it and wherever it was refused."""

import asyncio
import json

import httpx
import pytest

from auth.limits import Limits
from core.errors import ModelUnavailable
from core.model import ModelCard
from core.work import WorkUnits
from ingress.access_log import AccessLog
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.telemetry import ServeTelemetry
from tests.fakes.dispatch import KEY, Salts
from tests.ingress.test_path import PLANS, World
from tests.ingress.test_telemetry import Metric

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


class Seen:
    """An application, and what its operator sees."""

    def __init__(self, directory):
        self.world = world = World()
        self.directory = directory
        self.telemetry = ServeTelemetry(AccessLog(directory))
        path = RequestPath(
            world.identifier,
            world.admission,
            Limits(PLANS),
            world.dispatcher,
            Salts(),
            self.telemetry,
        )

        async def broken(exchange):
            raise RuntimeError("a bug")

        async def after(exchange):
            call = exchange.call(catalog, "chat", await exchange.document())
            await path.answer(call, exchange.key, world.who)
            raise RuntimeError("a bug after the call")

        async def account(exchange):
            return json_response({"bytes": len(await exchange.body())}, 201)

        async def slow(exchange):
            await asyncio.sleep(30)

        catalog = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC")])
        table = [
            *OpenAI(path, catalog).endpoints(),
            Endpoint("GET", "/broken", broken, "A bug"),
            Endpoint("POST", "/after", after, "A bug after a call"),
            Endpoint("POST", "/v1/things/{name}", account, "Not a call", max_body_bytes=100),
            Endpoint("GET", "/slow", slow, "Not a call"),
        ]
        self.application = Application(table, "test", report=self.telemetry.answered)

    def client(self, key=KEY):
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    def lines(self):
        self.telemetry.flush()
        (file,) = self.directory.glob("access-*.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]

    def counted(self):
        self.telemetry.flush()
        return Metric.made["carillon_requests"].values


@pytest.fixture
def seen(monkeypatch, tmp_path):
    monkeypatch.setattr("ray.serve.metrics.Counter", Metric)
    monkeypatch.setattr("ray.serve.metrics.Gauge", Metric)
    Metric.made.clear()
    return Seen(tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "body", "key", "endpoint", "status"),
    [
        ("POST", CHAT, b"{", KEY, CHAT, 400),
        ("POST", CHAT, b"{}", "ck-unknown", CHAT, 401),
        ("POST", CHAT, b'{"model": "nope", "messages": []}', KEY, CHAT, 404),
        ("POST", "/v1/things/1", b"x" * 101, KEY, "/v1/things/{name}", 413),
        ("POST", "/v1/things/1", b"x", KEY, "/v1/things/{name}", 201),
        ("GET", "/broken", b"", KEY, "/broken", 500),
        ("GET", "/v1/no/such/path/as-this", b"", KEY, "none", 404),
        ("PUT", CHAT, b"", KEY, "none", 405),
        ("GET", "/openapi.json", b"", KEY, "/openapi.json", 200),
    ],
)
async def test_what_is_no_call_is_counted_and_logged(
    seen, method, path, body, key, endpoint, status
):
    async with seen.client(key) as client:
        answer = await client.request(method, path, content=body, headers={"x-request-id": "mine"})
    assert answer.status_code == status
    assert seen.counted() == {(endpoint, "", str(status)): 1}
    (line,) = seen.lines()
    assert (line["endpoint"], line["status"], line["trace_id"]) == (endpoint, status, "mine")
    assert "as-this" not in json.dumps(line)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_is_counted_once_by_its_model(seen, stream):
    async with seen.client() as client:
        for _ in range(2):  # the second is a hit
            assert (await client.post(CHAT, json=HELLO | {"stream": stream})).status_code == 200
    assert seen.counted() == {(CHAT, "echo", "200"): 2}
    assert len(seen.lines()) == 2


async def test_a_call_that_fails_is_counted_once(seen):
    seen.world.dispatcher.error = ModelUnavailable("gone", None, 1.0)
    async with seen.client() as client:
        assert (await client.post(CHAT, json=HELLO)).status_code == 503
    assert seen.counted() == {(CHAT, "echo", "503"): 1}


async def test_a_failure_after_a_call_is_counted_beside_it(seen):
    async with seen.client() as client:
        assert (await client.post("/after", json=HELLO)).status_code == 500
    assert seen.counted() == {("/after", "echo", "200"): 1, ("/after", "", "500"): 1}
    assert seen.lines()[0]["units"] == WorkUnits(input_tokens=3, output_tokens=4).nonzero()


async def test_a_caller_that_goes_while_it_waits_is_a_499(seen):
    async with seen.client() as client:
        asking = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert seen.counted() == {("/slow", "", "499"): 1}


async def test_a_caller_that_goes_while_it_uploads_is_a_499_and_no_error(seen, caplog):
    messages = iter(
        [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive():
        return next(messages)

    async def send(message): ...

    scope = {
        "type": "http",
        "method": "POST",
        "path": CHAT,
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
        "query_string": b"",
    }
    await seen.application(scope, receive, send)
    assert seen.counted() == {(CHAT, "", "499"): 1}
    assert not caplog.records
