"""A POST that is sent again is answered again: on real Valkey, over HTTP, whatever happens."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from auth.idempotency import Claim, IdempotencyBook
from auth.pipeline import Pipeline
from auth.valkey import ValkeyAdmission
from core.errors import ModelUnavailable, StoreUnavailable
from core.model import ModelCard
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.forms import read_form
from ingress.idempotency import Idempotency
from ingress.openai import OpenAI
from ingress.responses import json_response
from ingress.waiters import Waiters
from tests.auth.servers import Valkey
from tests.fakes.admission import EPOCH
from tests.fakes.dispatch import KEY, principal
from tests.ingress.test_path import World

CHAT = "/v1/chat/completions"
HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
FRESH = {"cache-control": "no-store"}


class Once:
    """A gateway over fakes, with idempotency on real Valkey."""

    def __init__(self, pipeline: Pipeline, prefix: str, who=None, patience_s=5.0):
        self.world = World(who)
        self.book = IdempotencyBook(pipeline, prefix, lease_s=0.5)
        self.done: list[bytes] = []
        idempotency = Idempotency(self.world.path, self.book, patience_s)
        catalog = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC")])
        table = [
            *OpenAI(self.world.path, catalog).endpoints(),
            Endpoint("POST", "/secrets", self._secret, "Shown once", shown_once=True),
            Endpoint("POST", "/forms", self._form, "A form"),
        ]
        self.application = Application([idempotency.applied(each) for each in table], "test")
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.application, raise_app_exceptions=False),
            base_url="http://test",
            headers={"authorization": f"Bearer {KEY}"} | FRESH,
        )

    @property
    def calls(self) -> int:
        return len(self.world.dispatcher.calls)

    async def post(self, key: str | None, path: str = CHAT, **request: Any) -> httpx.Response:
        headers = {} if key is None else {"idempotency-key": key}
        return await self.http.post(path, headers=headers, **request or {"json": HELLO})

    async def _secret(self, exchange):
        return json_response({"key": "ck-very-secret"}, 201)

    async def _form(self, exchange):
        form = await read_form(exchange)
        self.done.append(form.file("file").data)
        return json_response({"count": len(self.done)})


@pytest.fixture
async def pipeline(valkey_server: Valkey):
    pipeline = Pipeline(SecretStr(valkey_server.url))
    yield pipeline
    await pipeline.aclose()


@pytest.fixture
def prefix() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
async def once(pipeline: Pipeline, prefix: str):
    once = Once(pipeline, prefix)
    yield once
    await once.http.aclose()


async def test_a_retry_gets_the_same_answer_and_is_charged_nothing(once: Once):
    first, second = await once.post("a"), await once.post("a")
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert once.calls == 1
    assert once.world.used("requests") == 1
    await once.post("b")
    await once.post(None)
    assert once.calls == 3, "another key, or none, is another request"


async def test_the_same_key_with_another_body_or_path_is_refused(once: Once):
    await once.post("a")
    other = HELLO | {"max_tokens": 5}
    for refused in (
        await once.post("a", json=other),
        await once.post("a", path="/v1/completions", json={"model": "echo", "prompt": "x"}),
        await once.post("a", path=f"{CHAT}?x=1", json=HELLO),
    ):
        assert refused.status_code == 409
        assert refused.json()["error"]["param"] == "idempotency-key"
    assert once.calls == 1


async def test_keys_of_other_callers_are_other_keys(once: Once, pipeline: Pipeline, prefix: str):
    await once.post("a")
    neighbour = Once(pipeline, prefix, principal(tenant_id="t2", key_id="k2"))
    answer = await neighbour.post("a", json=HELLO | {"max_tokens": 9})
    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers
    assert neighbour.calls == 1


async def test_who_has_no_key_gets_no_answer_of_another(once: Once):
    await once.post("a")
    stranger = await once.http.post(
        CHAT, json=HELLO, headers={"idempotency-key": "a", "authorization": "Bearer ck-wrong"}
    )
    assert stranger.status_code == 401
    once.world.identifier.current_epoch = "changed"
    once.world.identifier.reload = None
    revoked = await once.post("a")
    assert revoked.status_code == 401


async def test_streams_replay_as_they_were(once: Once):
    asked: dict[str, Any] = {"json": HELLO | {"stream": True}}
    first, second = await once.post("a", **asked), await once.post("a", **asked)
    assert first.content == b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]
    assert (once.calls, second.headers["idempotency-replayed"]) == (1, "true")


async def test_a_stream_whose_caller_went_away_is_finished_for_the_retry(
    once: Once, monkeypatch: pytest.MonkeyPatch
):
    gate, scripted = asyncio.Event(), once.world.dispatcher.stream

    async def slow(call, context):
        async for chunk in scripted(call, context):
            yield chunk
            await gate.wait()

    monkeypatch.setattr(once.world.dispatcher, "stream", slow)
    asked: dict[str, Any] = {"json": HELLO | {"stream": True}}
    caller = asyncio.create_task(once.post("a", **asked))
    await _until(lambda: once.calls == 1)
    await asyncio.sleep(0.05)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    retry = asyncio.create_task(once.post("a", **asked))
    gate.set()
    answer = await retry
    assert answer.content == b"data: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
    assert once.calls == 1
    (settled,) = once.world.settlements()
    assert (settled.status_code, settled.units.output_tokens) == (200, 2)


async def test_an_answer_whose_caller_went_away_is_kept_for_the_retry(once: Once):
    once.world.dispatcher.gate = asyncio.Event()
    caller = asyncio.create_task(once.post("a"))
    await _until(lambda: once.calls == 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    once.world.dispatcher.gate.set()
    answer = await once.post("a")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert once.calls == 1


async def test_twenty_at_once_are_one(once: Once):
    once.world.dispatcher.gate = asyncio.Event()
    callers = [asyncio.create_task(once.post("a")) for _ in range(20)]
    await _until(lambda: once.calls == 1)
    once.world.dispatcher.gate.set()
    answers = await asyncio.gather(*callers)
    assert {answer.content for answer in answers} == {b'{"ok":true}'}
    assert once.calls == 1
    assert once.world.used("requests") == 1


async def test_retries_that_wait_take_only_their_tenants_places(
    once: Once, pipeline: Pipeline, prefix: str
):
    once.world.path.waiters = Waiters(most=2)
    once.world.dispatcher.gate = asyncio.Event()
    callers = [asyncio.create_task(once.post("a")) for _ in range(3)]
    await _until(lambda: once.world.path.waiters._waiting["t"] == 2)
    refused = await once.post("a")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["retry-after-ms"] == "1000"
    once.world.dispatcher.gate.set()
    assert [answer.status_code for answer in await asyncio.gather(*callers)] == [200] * 3
    assert (await once.post("a")).headers["idempotency-replayed"] == "true"


async def test_who_waits_too_long_is_told_to_ask_again(pipeline: Pipeline, prefix: str):
    once = Once(pipeline, prefix, patience_s=0.1)
    once.world.dispatcher.gate = asyncio.Event()
    caller = asyncio.create_task(once.post("a"))
    await _until(lambda: once.calls == 1)
    impatient = await once.post("a")
    assert impatient.status_code == 409
    assert int(impatient.headers["retry-after-ms"]) > 0
    await asyncio.sleep(0.7)  # longer than a lease: it is renewed
    assert (await once.post("a")).status_code == 409
    once.world.dispatcher.gate.set()
    assert (await caller).status_code == 200
    assert once.calls == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_not_kept(once: Once, stream: bool):
    once.world.dispatcher.error = ModelUnavailable("not now", retry_after_s=1)
    once.world.dispatcher.error_after = 1
    asked: dict[str, Any] = {"json": HELLO | {"stream": stream}}
    failed = await once.post("a", **asked)
    assert failed.status_code == (200 if stream else 503)
    assert b"not now" in failed.content
    once.world.dispatcher.error = None
    retried = await once.post("a", **asked)
    assert retried.status_code == 200
    assert "idempotency-replayed" not in retried.headers
    assert b"not now" not in retried.content
    assert once.calls == 2


async def test_a_stream_that_failed_is_paid_when_a_retry_is_answered_and_not_before(once: Once):
    once.world.dispatcher.error = ModelUnavailable("not now", retry_after_s=1)
    once.world.dispatcher.error_after = 1
    asked: dict[str, Any] = {"json": HELLO | {"stream": True}}
    await once.post("a", **asked)
    assert [s.units for s in once.world.settlements()] == [WorkUnits()]
    assert once.world.used("tokens") == 0
    once.world.dispatcher.error = None
    retried = await once.post("a", **asked)
    assert retried.content.endswith(b"[DONE]\n\n")
    assert once.world.used("tokens") == 5
    assert [call.whole_or_nothing for call in once.world.dispatcher.calls] == [True, True]
    await once.post(None, **asked)
    assert not once.world.dispatcher.calls[-1].whole_or_nothing


async def test_bad_input_is_not_kept_either(once: Once):
    assert (await once.post("a", json={"model": "nope"})).status_code == 404
    assert (await once.post("a")).status_code == 200


async def test_the_claim_of_a_killed_process_runs_out(once: Once):
    request = once.http.build_request("POST", CHAT, json=HELLO)
    assert request is not None
    first = await once.post("a")
    name = next(iter(await _names(once)))
    await once.book._store.call("DEL", name)
    seconds, micros = await once.book._store.call("TIME")
    ends = int(seconds) * 1000 + int(micros) // 1000 + 300
    claim = ("fingerprint", "unknown", "owner", "the dead", "until", ends)
    await once.book._store.call("HSET", name, *claim)
    once.world.admission.once.clear()  # it charged nothing either
    assert (await once.post("a")).status_code == 409
    await asyncio.sleep(0.4)
    assert (await once.post("a")).content == first.content
    assert once.calls == 2


async def test_a_tenant_that_keeps_too_much_loses_its_own_oldest_answers(
    pipeline: Pipeline, prefix: str
):
    book = IdempotencyBook(pipeline, prefix, most_bytes=10_000)

    async def answered(name: str) -> bool:
        return (await book.claim(name, b"f", "o")).claim is Claim.ENDED

    for name in ("other:1", *(f"one:{n}" for n in range(9))):
        await book.claim(name, b"f", "o")
        await book.keep(name, "o", b"x" * 3_000)
    assert [await answered(f"one:{n}") for n in range(9)] == [False] * 7 + [True] * 2
    assert await answered("other:1")
    stored = await pipeline.call("LLEN", f"{prefix}:idempotency-kept:one")
    assert stored == 2


async def test_answers_whose_day_is_over_take_no_room(pipeline: Pipeline, prefix: str):
    brief = IdempotencyBook(pipeline, prefix, keep_s=0.5, most_bytes=10_000)
    for number in range(2):
        await asyncio.sleep(0.6 * number)
        await brief.claim(f"one:{number}", b"f", "o")
        await brief.keep(f"one:{number}", "o", b"x" * 4_000)
    assert int(await pipeline.call("GET", f"{prefix}:idempotency-bytes:one")) < 5_000


async def test_a_secret_is_shown_once_and_kept_nowhere(once: Once):
    first = await once.post("a", path="/secrets", json={})
    assert first.json() == {"key": "ck-very-secret"}
    second = await once.post("a", path="/secrets", json={})
    assert second.status_code == 409
    assert "shown once" in second.json()["error"]["message"]
    for name in await _names(once):
        assert b"ck-very-secret" not in b"".join(await once.book._store.call("HVALS", name))


async def test_a_form_is_the_same_whatever_its_boundary(once: Once):
    answers = [
        await once.post("a", path="/forms", files={"file": ("a.bin", b"\0\1\2")}) for _ in range(2)
    ]
    sent = [answer.request.headers["content-type"] for answer in answers]
    assert sent[0] != sent[1]
    assert [answer.json() for answer in answers] == [{"count": 1}, {"count": 1}]
    other = await once.post("a", path="/forms", files={"file": ("a.bin", b"\0\1\3")})
    assert (other.status_code, once.done) == (409, [b"\0\1\2"])


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tin it"])
async def test_a_key_that_is_none_is_named(once: Once, key: str):
    refused = await once.post(key)
    assert refused.status_code == 400
    assert "idempotency-key" in refused.json()["error"]["message"]
    assert once.calls == 0


async def test_without_its_store_nothing_is_done(pipeline: Pipeline, prefix: str):
    nowhere = Pipeline(SecretStr("unix:///nowhere/valkey.sock"), 0.2)
    once = Once(nowhere, prefix)
    assert (await once.post("a")).status_code == 503
    assert once.calls == 0
    assert (await once.post(None)).status_code == 200


def test_only_posts_with_credentials_are_wrapped():
    async def handler(_):
        raise AssertionError

    idempotency = Idempotency(World().path, None)  # type: ignore[arg-type]
    get = Endpoint("GET", "/a", handler, "")
    post = replace(get, method="POST")
    assert idempotency.applied(get) is get
    assert idempotency.applied(replace(post, public=True)).handler is handler
    assert idempotency.applied(post).handler is not handler


async def _until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # fakes have no events
            await asyncio.sleep(0.005)


async def _names(once: Once) -> list[bytes]:
    _, names = await once.book._store.call(
        "SCAN", 0, "MATCH", f"{once.book._prefix}:idempotency:*", "COUNT", 10_000
    )
    return list(names)


class Killed(IdempotencyBook):
    """Of a gateway that is killed when a call was charged, before its answer is kept."""

    async def keep(self, name, owner, kept, calls=()):
        raise StoreUnavailable("killed")

    async def renew(self, name, owner): ...


@pytest.fixture
async def lasting(pipeline: Pipeline, prefix: str):
    """Gateways on real admission: what one leaves in the store, the next one finds."""
    await pipeline.call("SET", f"{prefix}:epoch:t", EPOCH)
    made = []

    def gateway(book: type[IdempotencyBook] = IdempotencyBook, longest: int = 2_000) -> Once:
        once = Once(pipeline, prefix)
        admission = ValkeyAdmission(pipeline, prefix, cache_item_bytes=longest)
        once.world.path._admission = once.world.path._settling._settler = admission
        once.book.__class__ = book
        made.append(once)
        return once

    yield gateway
    for once in made:
        await once.http.aclose()


async def used(pipeline: Pipeline, prefix: str) -> dict[bytes, bytes]:
    found = await pipeline.call("HGETALL", f"{prefix}:window:tenant:t")
    return {k: v for k, v in zip(found[::2], found[1::2], strict=True) if k.endswith(b":used")}


@pytest.mark.parametrize("cache", ["no-store", "no-cache", ""])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_gateway_killed_between_charge_and_answer_charges_once(
    lasting, pipeline: Pipeline, prefix: str, cache: str, streamed: bool
):
    doomed, successor = lasting(Killed), lasting()
    headers = {"idempotency-key": "a", "cache-control": cache}
    request = HELLO | {"stream": streamed}
    first = await doomed.http.post(CHAT, headers=headers, json=request)
    assert first.status_code == 200
    charged = await used(pipeline, prefix)
    assert charged
    retry = await successor.http.post(CHAT, headers=headers, json=request)  # waits for the lease
    assert retry.status_code == 200, retry.text
    assert (retry.content, retry.headers["content-type"]) == (
        first.content,
        first.headers["content-type"],
    )
    assert (doomed.calls, successor.calls) == (1, 0)
    assert await used(pipeline, prefix) == charged, "neither the work nor the request"
    again = await successor.http.post(CHAT, headers=headers, json=request)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    kept = await pipeline.call("KEYS", f"{prefix}:once:*")
    assert kept == [], "a kept answer stands for what was remembered"


async def test_a_long_answer_that_was_lost_is_not_charged_again(
    lasting, pipeline: Pipeline, prefix: str
):
    doomed, successor = lasting(Killed, longest=3), lasting()
    headers = {"idempotency-key": "a"} | FRESH
    assert (await doomed.http.post(CHAT, headers=headers, json=HELLO)).status_code == 200
    charged = await used(pipeline, prefix)
    retry = await successor.http.post(CHAT, headers=headers, json=HELLO)
    assert retry.status_code == 409
    assert "was done and charged before" in retry.json()["error"]["message"]
    assert successor.calls == 0
    assert await used(pipeline, prefix) == charged


async def test_a_retry_needs_no_room_for_what_was_charged(lasting, pipeline: Pipeline, prefix: str):
    doomed, successor = lasting(Killed), lasting()
    headers = {"idempotency-key": "a"} | FRESH
    first = await doomed.http.post(CHAT, headers=headers, json=HELLO)
    name = f"{prefix}:window:tenant:t"
    for field in await used(pipeline, prefix):
        await pipeline.call("HSET", name, field, 10**12)
    assert (await successor.http.post(CHAT, json=HELLO)).status_code == 429
    retry = await successor.http.post(CHAT, headers=headers, json=HELLO)
    assert (retry.status_code, retry.content) == (200, first.content)


async def test_another_request_under_a_key_whose_claim_ran_out_is_done(lasting):
    doomed, successor = lasting(Killed), lasting()
    headers = {"idempotency-key": "a"} | FRESH
    await doomed.http.post(CHAT, headers=headers, json=HELLO)
    await asyncio.sleep(0.7)
    other = HELLO | {"messages": [{"role": "user", "content": "something else"}]}
    answer = await successor.http.post(CHAT, headers=headers, json=other)
    assert (answer.status_code, successor.calls) == (200, 1)
