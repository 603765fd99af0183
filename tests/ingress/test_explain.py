"""What a request would meet: on real Valkey, and nothing of it happens."""

import secrets
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from auth.estimates import ENOUGH, FLOOR
from auth.limits import Limits
from auth.pipeline import Pipeline
from auth.plans import DAY_S, MINUTE_S, Meter, Plan, Window
from auth.prices import PriceBook
from auth.storage import Storage
from auth.valkey import ValkeyAdmission
from core.model import ModelCard
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.explain import Explain
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.readiness import ApplicationState, Intake, Readiness
from ingress.turns import Turns
from tests.auth.servers import Valkey
from tests.fakes.admission import EPOCH
from tests.fakes.dispatch import (
    KEY,
    OneKeyIdentifier,
    Salts,
    ScriptedDispatcher,
    SilentTelemetry,
    principal,
)
from tests.ingress.busy_world import QuietWatch
from tests.ingress.test_path import World

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}
PLANS = {
    "small": Plan(
        "small",
        (
            Window(Meter.REQUESTS, MINUTE_S, 100),
            Window(Meter.TOKENS, DAY_S, 1_000),
            Window(Meter.MONEY, DAY_S, 10**9),
        ),
    )
}
PRICES = PriceBook("v9", "EUR", models={"echo": {"input_tokens": 10**9, "output_tokens": 10**9}})


class NothingStored:
    async def used(self, tenant_id, holders):
        return dict.fromkeys(holders, 7)


class Explained:
    def __init__(self, pipeline: Pipeline):
        self.who = principal()
        self.store, self.prefix = pipeline, f"test-{secrets.token_hex(4)}"
        self.admission = ValkeyAdmission(pipeline, self.prefix)
        self.readiness = Readiness()
        self.dispatcher = ScriptedDispatcher()
        limits = Limits(PLANS)
        self.identifier = OneKeyIdentifier(self.who)
        path = RequestPath(
            self.identifier,
            self.admission,
            limits,
            self.dispatcher,
            Salts(),
            SilentTelemetry(),
            prices=PRICES,
        )
        catalog = Catalog(
            [
                ModelCard(id="echo", spec="deployments.echo:SPEC"),
                ModelCard(id="embed", spec="deployments.embeddings:SPEC", wake_s=7),
            ]
        )
        self.turns = Turns(self.readiness, limits.weight, QuietWatch())
        explain = Explain(
            path,
            catalog,
            self.admission,
            limits,
            PRICES,
            self.readiness,
            self.turns,
            Storage(NothingStored(), PLANS),
        )
        table = [*OpenAI(path, catalog).endpoints(), *explain.endpoints()]
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(Application(table, "test")),
            base_url="http://test",
            headers={"authorization": f"Bearer {KEY}"},
        )

    async def of(self, request: object = HELLO, **fields: object) -> dict:
        fields.setdefault("endpoint", CHAT)
        response = await self.http.post("/v1/explain", json={"request": request} | fields)
        assert response.status_code == 200, response.text
        found: dict = response.json()
        return found


@pytest.fixture
async def explained(valkey_server: Valkey):
    pipeline = Pipeline(SecretStr(valkey_server.url))
    explained = Explained(pipeline)
    await pipeline.call("SET", f"{explained.prefix}:epoch:t", EPOCH)
    yield explained
    await explained.http.aclose()
    await pipeline.aclose()


async def test_it_says_what_the_request_then_meets(explained: Explained):
    before = await explained.of()
    assert before["verdict"] == {"admitted": True, "reason": None}
    assert (before["principal"]["tenant_id"], before["principal"]["plan"]) == ("t", "small")
    assert before["estimate"] == before["bound"], "nothing has been learned yet"
    assert before["bound"]["output_tokens"] == 10
    requests, tokens, money = before["windows"]
    total = before["bound"]["input_tokens"] + 10
    assert (requests["asked"], tokens["asked"]) == (1, total)
    assert money["asked"] == before["price"]["at_most"] == total / 1000
    assert (before["price"]["currency"], before["price"]["prices"]) == ("EUR", "v9")
    assert [window["used"] for window in before["windows"]] == [0, 0, 0]
    assert before["cache"] == "MISS"
    answer = await explained.http.post(CHAT, json=HELLO)
    assert answer.headers["x-cache"] == "MISS"
    after = await explained.of()
    assert [window["used"] for window in after["windows"]] == [1, 7, 0.007]
    assert after["cache"] == "HIT"
    assert len(explained.dispatcher.calls) == 1


async def test_it_shows_what_answers_usually_take_beside_the_most(explained: Explained):
    long = HELLO | {"max_tokens": 400}
    for number in range(ENOUGH):
        await explained.http.post(
            CHAT, json=long | {"seed": number}, headers={"cache-control": "no-store"}
        )
    told = await explained.of(long)
    assert (told["estimate"]["output_tokens"], told["bound"]["output_tokens"]) == (FLOOR, 400)
    day = told["windows"][1]
    assert day["asked"] == sum(told["bound"].values()), "a budget is charged the most at first"
    assert told["price"]["at_most"] > told["price"]["estimate"]


async def test_what_is_in_the_way_is_named_as_the_refusal_names_it(explained: Explained):
    too_long = HELLO | {"max_tokens": 5_000}
    told = await explained.of(too_long)
    refused = await explained.http.post(CHAT, json=too_long)
    assert refused.status_code == 429
    assert told["verdict"] == {"admitted": False, "reason": refused.json()["error"]["message"]}
    assert [window["refusal"] is None for window in told["windows"]] == [True, False, False]


async def test_cache_control_is_told(explained: Explained):
    assert (await explained.of(cache_control="no-cache"))["cache"] == "BYPASS"
    assert (await explained.of(cache_control="no-store"))["cache"] == "NONE"


async def test_a_model_that_the_key_lacks_is_told(explained: Explained):
    explained.identifier.known = replace(explained.who, allowed_models=frozenset({"embed"}))
    embedding = await explained.of({"model": "embed", "input": "x"}, endpoint="/v1/embeddings")
    assert (embedding["operation"], embedding["allowed"]) == ("embed", True)
    chat = await explained.of()
    assert (chat["allowed"], chat["verdict"]["admitted"]) == (False, False)


async def test_the_route_says_how_long_a_sleeping_model_takes(explained: Explained):
    request = {"model": "embed", "input": "x"}
    unknown = await explained.of(request, endpoint=None, operation="embed")
    assert (unknown["route"]["status"], unknown["route"]["expected_wait_s"]) == (
        "not deployed",
        None,
    )
    explained.readiness.applications["embed"] = ApplicationState("RUNNING", "", 0, 0.0)
    asleep = await explained.of(request, endpoint=None, operation="embed")
    assert (asleep["route"]["asleep"], asleep["route"]["expected_wait_s"]) == (True, 7)
    explained.readiness.applications["embed"] = ApplicationState("RUNNING", "", 2, 0.0)
    awake = await explained.of(request, endpoint=None, operation="embed")
    assert (awake["route"]["replicas"], awake["route"]["expected_wait_s"]) == (2, 0)


async def test_the_wait_for_a_turn_is_predicted(explained: Explained):
    intake = Intake(replicas=1, most_replicas=1, per_replica=1, queue=10)
    state = ApplicationState("RUNNING", "", 1, 0.0, intake)
    explained.readiness.applications["echo"] = state
    assert (await explained.of())["queue"] == {"position": 0, "expected_wait_ms": 0}
    with explained.turns.take(World().call()), explained.turns.take(World().call()):
        assert (await explained.of())["queue"] == {"position": 2, "expected_wait_ms": None}


@pytest.mark.parametrize(
    "body",
    [
        {"endpoint": CHAT, "operation": "chat", "request": HELLO},
        {"request": HELLO},
        {"endpoint": "/v1/nowhere", "request": HELLO},
        {"endpoint": CHAT, "request": HELLO | {"max_tokens": -1}},
        {"endpoint": CHAT, "request": HELLO, "more": 1},
    ],
)
async def test_bad_questions_are_refused(explained: Explained, body: dict):
    response = await explained.http.post("/v1/explain", json=body)
    assert response.status_code == 400


async def test_nobody_is_told_nothing(explained: Explained):
    response = await explained.http.post(
        "/v1/explain", json={}, headers={"authorization": "Bearer ck-wrong"}
    )
    assert response.status_code == 401


async def test_a_cached_answer_needs_room_for_the_request_alone(explained: Explained):
    assert (await explained.http.post(CHAT, json=HELLO)).status_code == 200
    day = f"{Meter.TOKENS}:{DAY_S}"
    scope = f"{explained.prefix}:window:tenant:t"
    await explained.store.call("HSET", scope, f"{day}:used", 1_000)
    told = await explained.of()
    assert (told["cache"], told["verdict"]["admitted"]) == ("HIT", True)
    assert (await explained.http.post(CHAT, json=HELLO)).headers["x-cache"] == "HIT"
    assert not (await explained.of(HELLO | {"seed": 1}))["verdict"]["admitted"]
    await explained.store.call("HSET", scope, f"{Meter.REQUESTS}:{MINUTE_S}:used", 100)
    told = await explained.of()
    refused = await explained.http.post(CHAT, json=HELLO)
    assert (told["cache"], told["verdict"]["admitted"], refused.status_code) == ("HIT", False, 429)
    reasons = (told["verdict"]["reason"], refused.json()["error"]["message"])
    assert len({reason.partition(" It opens")[0] for reason in reasons}) == 1
