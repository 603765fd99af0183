"""Every refusal says what it was decided on, to OpenAI's own client, about its caller alone."""

import time
from dataclasses import replace
from typing import Any, cast

import httpx
import openai
import pytest

from auth.directory import Directory
from auth.limits import Limits
from auth.plans import DAY_S, MINUTE_S, Meter, Plan, Window
from auth.prices import PriceBook
from auth.principal import Scope
from core.errors import ModelUnavailable, QueueFull, StoreUnavailable
from core.model import Chunk, ModelCard
from ingress.accounts import Accounts
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.readiness import ApplicationState, Readiness
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import (
    KEY,
    OneKeyIdentifier,
    Salts,
    ScriptedDispatcher,
    SilentTelemetry,
    principal,
)

SMALL = Plan(
    "small",
    (
        Window(Meter.REQUESTS, MINUTE_S, 4),
        Window(Meter.TOKENS, DAY_S, 200),
        Window(Meter.MONEY, DAY_S, 10**9),
    ),
    user_windows=(Window(Meter.REQUESTS, MINUTE_S, 3),),
    key_windows=(Window(Meter.CONCURRENCY, 0, 2),),
)
PRICES = PriceBook("v9", "EUR", models={"echo": {"input_tokens": 10**9}})


class Traced:
    """A gateway over fakes, called with OpenAI's client."""

    def __init__(self):
        self.who = principal(user_id="u", scopes=frozenset({Scope.INFERENCE, Scope.USAGE}))
        self.identifier = OneKeyIdentifier(self.who)
        self.admission = InMemoryAdmission(clock=lambda: int(time.time() * 1000))
        self.dispatcher = ScriptedDispatcher()
        self.readiness = Readiness()
        path = RequestPath(
            self.identifier,
            self.admission,
            Limits({"small": SMALL}),
            self.dispatcher,
            Salts(),
            SilentTelemetry(),
            prices=PRICES,
            readiness=self.readiness,
        )
        catalog = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC")])
        table = [
            *OpenAI(path, catalog).endpoints(),
            *Accounts(path, cast("Directory", None)).endpoints(),
        ]
        self.transport = httpx.ASGITransport(Application(table, "test"))

    def sdk(self, key=KEY):
        http: Any = httpx.AsyncClient(
            transport=self.transport
        )  # what the SDK takes has its methods
        return openai.AsyncOpenAI(
            api_key=key, base_url="http://test/v1", http_client=http, max_retries=0
        )

    async def chat(self, key=KEY, stream=False, max_tokens=5, **fields):
        async with self.sdk(key) as client:
            answer = await client.chat.completions.create(
                model="echo",
                messages=[{"role": "user", "content": "hello"}],
                max_tokens=max_tokens,
                stream=stream,
                **fields,
            )
            return [event async for event in answer] if stream else answer

    async def refused(self, kind, **fields):
        """The trace of a refused chat."""
        with pytest.raises(kind) as caught:
            await self.chat(**fields)
        assert {"message", "type", "param", "code"} < set(caught.value.body)
        return caught.value.body["carillon"]


@pytest.fixture
def gateway():
    return Traced()


async def test_a_full_window_is_named_with_its_scope_and_what_was_asked(gateway: Traced):
    for number in range(3):
        await gateway.chat(seed=number)
    trace = await gateway.refused(openai.RateLimitError, seed=4)
    limit = trace["limit"]
    assert trace["step"] == "admit"
    assert (limit["scope"], limit["meter"], limit["seconds"]) == ("user", "requests", 60)
    assert (limit["limit"], limit["used"], limit["asked"]) == (3, 3, 1)
    assert 0 < limit["resets_at"] - time.time() <= 60
    assert [w["scope"] for w in trace["windows"]] == ["tenant", "tenant", "tenant", "user", "key"]
    assert trace["cache"] is None  # without room for a request, nobody looks
    assert (trace["principal"]["tenant_id"], trace["model"]) == ("t", "echo")


async def test_a_request_too_large_shows_its_units_and_price(gateway: Traced):
    trace = await gateway.refused(openai.RateLimitError, max_tokens=500)
    limit = trace["limit"]
    assert (limit["scope"], limit["meter"], limit["limit"], limit["used"]) == (
        "tenant",
        "tokens",
        200,
        0,
    )
    assert limit["asked"] == trace["bound"]["input_tokens"] + 500
    assert trace["cache"] == "MISS"
    assert trace["price"]["currency"] == "EUR"
    money = next(w for w in trace["windows"] if w["meter"] == "money")
    assert money["asked"] == trace["price"]["at_most"] == trace["bound"]["input_tokens"] / 1000


async def test_what_runs_at_once_has_no_time_at_which_it_opens(gateway: Traced):
    gateway.admission.counters["key:k", Meter.CONCURRENCY, 0] = (0, 2)
    limit = (await gateway.refused(openai.RateLimitError))["limit"]
    assert (limit["scope"], limit["meter"], limit["used"]) == ("key", "concurrency", 2)
    assert limit["resets_at"] is None


async def test_a_model_that_the_key_lacks(gateway: Traced):
    gateway.identifier.known = replace(gateway.who, allowed_models=frozenset({"other"}))
    trace = await gateway.refused(openai.PermissionDeniedError)
    assert (trace["step"], trace["model"], trace["allowed"]) == ("admit", "echo", False)
    assert trace["principal"]["key_id"] == "k"


async def test_a_scope_that_the_key_lacks(gateway: Traced):
    async with gateway.sdk() as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            await client.get("/api-keys", cast_to=object)
    body: Any = caught.value.body
    trace = body["carillon"]
    assert (trace["step"], trace["needs"]) == ("identify", "keys")
    assert trace["principal"]["scopes"] == ["inference", "usage"]


@pytest.mark.parametrize("key", ["ck-unknown", "ck-0123456789abcdef-" + "x" * 43])
async def test_who_is_not_known_is_told_nothing(gateway: Traced, key: str):
    assert await gateway.refused(openai.AuthenticationError, key=key) == {"step": "identify"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (QueueFull, openai.RateLimitError),
        (ModelUnavailable, openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_cannot_answer_shows_its_route(gateway: Traced, error, kind, stream):
    gateway.readiness.applications["echo"] = ApplicationState("UNHEALTHY", "", 0, 0.0)
    gateway.dispatcher.error = error("the model does not take it")
    trace = await gateway.refused(kind, stream=stream)
    assert trace["step"] == "dispatch"
    assert (trace["route"]["application"], trace["route"]["status"]) == ("echo", "unhealthy")
    assert "limit" not in trace


async def test_a_failure_in_a_stream_is_traced_in_its_last_event(gateway: Traced):
    gateway.dispatcher.error = ModelUnavailable("the model stopped", None, 5.0)
    gateway.dispatcher.error_after = 1
    gateway.dispatcher.chunks[0] = Chunk(b"data: {}\n\n")
    with pytest.raises(openai.APIError) as caught:
        await gateway.chat(stream=True)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["carillon"]["step"] == "dispatch"


async def test_a_store_that_is_away(gateway: Traced, monkeypatch):
    async def away(ask):
        raise StoreUnavailable("the store does not answer", retry_after_s=1.0)

    monkeypatch.setattr(gateway.admission, "admit", away)
    trace = await gateway.refused(openai.InternalServerError)
    assert (trace["step"], trace["bound"]["output_tokens"]) == ("admit", 5)
    assert "windows" not in trace


async def test_what_is_served_or_malformed_carries_no_trace(gateway: Traced):
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.chat(max_tokens=0)
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
