"""The request path: what is charged, cached, refused and settled, whatever happens on the way."""

import asyncio
import itertools

import pytest

from auth.admission import Stale
from auth.limits import Limits
from auth.plans import Meter, Plan, Window
from auth.principal import Scope
from core.errors import (
    BudgetSpent,
    Forbidden,
    InvalidKey,
    InvalidRequest,
    LimitReached,
    ModelForbidden,
    ModelUnavailable,
    StoreUnavailable,
    Unauthenticated,
    Unavailable,
)
from core.model import Ended, ModelCard
from core.work import WorkUnits
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog
from ingress.path import RequestPath
from ingress.waiters import Waiters
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import (
    KEY,
    OneKeyIdentifier,
    Salts,
    ScriptedDispatcher,
    SilentTelemetry,
    principal,
)

PLANS = {
    "small": Plan("small", (Window(Meter.REQUESTS, 60, 3), Window(Meter.TOKENS, 60, 1000))),
    "wide": Plan("wide", (Window(Meter.TOKENS, 60, 1000),)),
    "strict": Plan("strict", (Window(Meter.TOKENS, 60, 1000),), strict=True),
    "tiny": Plan("tiny", (Window(Meter.TOKENS, 86_400, 10),)),
}
CATALOG = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC", max_output_tokens=20)])
numbers = itertools.count()


class World:
    """A request path over fakes."""

    def __init__(self, who=None):
        self.who = who or principal()
        self.identifier = OneKeyIdentifier(self.who)
        self.admission = InMemoryAdmission()
        self.dispatcher = ScriptedDispatcher()
        self.telemetry = SilentTelemetry()
        self.path = RequestPath(
            self.identifier, self.admission, Limits(PLANS), self.dispatcher, Salts(), self.telemetry
        )

    def call(self, text="hello", stream=False, cache=None):
        model = CATALOG.named("echo")
        operation = model.operation("chat")
        fields = {"messages": [{"role": "user", "content": text}], "stream": stream}
        return Call(
            request_id=f"r{next(numbers)}",
            trace_id="trace",
            endpoint="/v1/chat/completions",
            model=model,
            operation_name="chat",
            operation=operation,
            request=operation.request.model_validate(fields),
            streamed=stream,
            cache=cache or CachePolicy(),
        )

    async def answer(self, call):
        return await self.path.answer(call, KEY, self.who)

    async def stream(self, call):
        stream = await self.path.stream(call, KEY, self.who)
        return [piece async for piece in stream.pieces]

    def settlements(self):
        return [event.settlement for event in self.admission.events if event.settlement]

    def used(self, meter):
        return sum(
            count
            for (_, counted, _), (_, count) in self.admission.counters.items()
            if counted == meter
        )


async def test_an_answer_is_billed_for_what_was_done_not_for_the_estimate():
    world = World()
    answer = await world.answer(world.call())
    assert answer.body == b'{"ok":true}'
    assert world.used("tokens") == 7
    assert [s.units for s in world.settlements()] == [WorkUnits(input_tokens=3, output_tokens=4)]
    assert not world.admission.reservations


async def test_a_model_gets_an_opaque_tenant_salt_and_what_was_reserved():
    world = World()
    await world.answer(world.call())
    context = world.dispatcher.calls[0]
    assert context.isolation == "salt-of-t"
    assert context.reserved.output_tokens == 20


@pytest.mark.parametrize(("plan", "reserved"), [("wide", 16), ("strict", 20)])
async def test_what_answers_take_is_learned_and_the_model_may_still_take_all_it_may(plan, reserved):
    world = World(principal(plan=plan))
    for number in range(30):
        await world.answer(world.call(f"hello {number}"))
    call = world.call("one more", stream=True)
    stream = await world.path.stream(call, KEY, world.who)
    ask = world.admission.reservations[call.request_id].ask
    assert (ask.units.output_tokens, ask.most.output_tokens) == (reserved, 20)
    assert world.dispatcher.calls[-1].reserved.output_tokens == 20
    await stream.pieces.aclose()


async def test_the_same_request_again_is_a_hit_that_costs_a_request_and_no_tokens():
    world = World()
    await world.answer(world.call())
    again = world.call()
    answer = await world.answer(again)
    assert answer.body == b'{"ok":true}'
    assert again.headers["x-cache"] == "HIT"
    assert len(world.dispatcher.calls) == 1
    assert world.used("tokens") == 7
    assert world.used("requests") == 2


async def test_no_store_neither_reads_nor_writes_the_cache():
    world = World()
    policy = CachePolicy.from_header("no-store")
    for _ in range(2):
        call = world.call(cache=policy)
        await world.answer(call)
        assert call.headers["x-cache"] == "BYPASS"
    assert len(world.dispatcher.calls) == 2
    assert not world.admission.cache


async def test_no_cache_skips_the_entry_and_renews_it():
    world = World()
    await world.answer(world.call())
    await world.answer(world.call(cache=CachePolicy.from_header("no-cache")))
    assert len(world.dispatcher.calls) == 2
    assert len(world.admission.cache) == 1


async def test_a_full_window_refuses_and_says_when_it_opens():
    world = World()
    for number in range(3):
        await world.answer(world.call(f"request {number}"))
    call = world.call("one too many")
    with pytest.raises(LimitReached) as refusal:
        await world.answer(call)
    assert refusal.value.code == "rate_limit_exceeded"
    assert 0 < (refusal.value.retry_after_s or 0) <= 60
    assert call.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(world.dispatcher.calls) == 3


async def test_a_spent_day_is_a_spent_budget():
    world = World(principal(plan="tiny"))
    with pytest.raises(BudgetSpent) as refusal:
        await world.answer(world.call("a prompt that is far longer than ten tokens"))
    assert refusal.value.code == "insufficient_quota"


async def test_a_model_outside_the_keys_list_is_forbidden_and_free():
    world = World(principal(allowed_models=frozenset({"other"})))
    with pytest.raises(ModelForbidden):
        await world.answer(world.call())
    assert not world.admission.events


async def test_a_stale_principal_is_read_again_and_served():
    world = World()
    world.admission.epochs["t"] = "epoch-2"
    world.identifier.reload = principal(epoch="epoch-2")
    await world.answer(world.call())
    assert world.identifier.forgotten == 1


async def test_a_good_key_is_served_while_its_account_is_edited_again_and_again():
    world = World()
    editing(world, times=3)
    await world.answer(world.call())
    assert world.identifier.forgotten == 3
    assert [s.status_code for s in world.settlements()] == [200]


async def test_edits_without_end_are_a_reason_to_wait_and_not_a_wrong_key():
    world = World()
    editing(world, times=10**6)
    with pytest.raises(Unavailable) as refusal:
        await world.answer(world.call())
    assert (refusal.value.status_code, refusal.value.retry_after_s) == (503, 1.0)
    assert not world.dispatcher.calls


def editing(world, times):
    """Whoever is read is out of date when it is used, so many times."""
    real, edits = world.admission.admit, itertools.count(1)

    async def admit(ask):
        epoch = ask.principal.epoch
        if (number := next(edits)) <= times:
            epoch = world.admission.epochs["t"] = f"edit-{number}"
            world.identifier.reload = principal(epoch=epoch)
            return Stale()
        return await real(ask)

    world.admission.admit = admit


async def test_a_revoked_key_is_refused_at_its_next_request():
    world = World()
    world.admission.epochs["t"] = "epoch-2"
    world.identifier.reload = None
    with pytest.raises(InvalidKey):
        await world.answer(world.call())
    assert not world.dispatcher.calls


async def test_without_a_key_nobody_is_identified():
    with pytest.raises(Unauthenticated):
        await World().path.identify(None, Scope.INFERENCE)


async def test_a_missing_scope_is_forbidden():
    with pytest.raises(Forbidden):
        await World().path.identify(KEY, Scope.ADMIN)


@pytest.mark.parametrize(
    ("error", "status", "requests"),
    [
        (InvalidRequest("bad"), 400, 1),
        (ModelUnavailable("gone"), 503, 0),
        (KeyError("bug"), 500, 0),
    ],
)
async def test_a_failed_call_frees_its_tokens(error, status, requests):
    world = World()
    world.dispatcher.error = error
    with pytest.raises(type(error)):
        await world.answer(world.call())
    assert world.used("tokens") == 0
    assert world.used("requests") == requests
    assert [s.status_code for s in world.settlements()] == [status]


async def test_identical_requests_in_flight_run_once():
    world = World()
    world.dispatcher.gate = asyncio.Event()
    callers = [asyncio.create_task(world.answer(world.call())) for _ in range(3)]
    await asyncio.sleep(0.05)
    world.dispatcher.gate.set()
    answers = await asyncio.gather(*callers)
    assert {answer.body for answer in answers} == {b'{"ok":true}'}
    assert len(world.dispatcher.calls) == 1


async def test_no_tenant_fills_a_gateway_with_requests_that_wait_for_one_of_its_own():
    world = World(principal(plan="wide"))
    world.path.waiters = Waiters(most=2)
    world.dispatcher.gate = asyncio.Event()
    callers = [asyncio.create_task(world.answer(world.call())) for _ in range(3)]
    await asyncio.sleep(0.05)
    with pytest.raises(LimitReached) as refusal:
        await world.answer(world.call())
    assert (refusal.value.status_code, refusal.value.retry_after_s) == (429, 1.0)
    other = asyncio.create_task(world.answer(world.call("another request is no waiter")))
    callers[1].cancel()
    await asyncio.wait(callers[1:2])
    callers.append(asyncio.create_task(world.answer(world.call())))
    await asyncio.sleep(0.05)
    world.dispatcher.gate.set()
    answers = await asyncio.gather(callers[0], *callers[2:], other)
    assert len(answers) == 4
    assert len(world.dispatcher.calls) == 2


async def test_a_stream_is_settled_before_its_end_is_sent():
    world = World()
    stream = await world.path.stream(world.call(stream=True), KEY, world.who)
    pieces = []
    async for piece in stream.pieces:
        pieces.append(piece)
        assert bool(world.settlements()) == (b"[DONE]" in piece)
    assert world.used("tokens") == 5


async def test_a_stream_replays_from_the_cache_as_a_stream():
    world = World()
    first = await world.stream(world.call(stream=True))
    call = world.call(stream=True)
    again = await world.stream(call)
    assert b"".join(again) == b"".join(first)
    assert len(again) > 1
    assert call.headers["x-cache"] == "HIT"
    assert len(world.dispatcher.calls) == 1


async def test_a_stream_and_a_whole_answer_do_not_share_an_entry():
    world = World()
    await world.stream(world.call(stream=True))
    await world.answer(world.call())
    assert len(world.dispatcher.calls) == 2


async def test_an_error_before_the_first_piece_is_an_error_response():
    world = World()
    world.dispatcher.error = InvalidRequest("bad")
    with pytest.raises(InvalidRequest):
        await world.stream(world.call(stream=True))
    assert world.used("tokens") == 0


async def test_an_error_mid_stream_bills_what_was_delivered():
    world = World()
    world.dispatcher.error = ModelUnavailable("gone")
    world.dispatcher.error_after = 1
    with pytest.raises(ModelUnavailable):
        await world.stream(world.call(stream=True))
    assert world.used("tokens") == 4
    assert not world.admission.cache


async def test_a_disconnect_closes_the_stream_and_settles_what_was_delivered(monkeypatch):
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.01)
    world = World()
    stream = await world.path.stream(world.call(stream=True), KEY, world.who)
    assert await anext(stream.pieces) == b"data: 1\n\n"
    await stream.pieces.aclose()
    assert world.dispatcher.closed
    await asyncio.sleep(0.05)
    settled = world.settlements()
    assert [(s.status_code, s.units.output_tokens, s.exact) for s in settled] == [(499, 1, False)]
    assert world.telemetry.statuses == [499]


async def test_the_replicas_own_count_wins_over_the_gateways(monkeypatch):
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.05)
    world = World()
    call = world.call(stream=True)
    stream = await world.path.stream(call, KEY, world.who)
    await anext(stream.pieces)
    await stream.pieces.aclose()
    from auth.admission import Settlement

    counted = WorkUnits(input_tokens=3, output_tokens=9)
    assert await world.admission.settle(Settlement(call.request_id, counted, 499))
    await asyncio.sleep(0.1)
    assert [s.units for s in world.settlements()] == [counted]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_caller_that_went_while_the_end_was_on_its_way_is_billed_for_all_of_it(
    monkeypatch, whole
):
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.01)
    world = World()
    world.dispatcher.known = Ended(WorkUnits(input_tokens=3, output_tokens=9), 0.5, 7)
    if whole:
        world.dispatcher.gate = asyncio.Event()
        caller = asyncio.create_task(world.answer(world.call()))
        await asyncio.sleep(0.01)
        caller.cancel()
        await asyncio.wait((caller,))
    else:
        stream = await world.path.stream(world.call(stream=True), KEY, world.who)
        await anext(stream.pieces)
        await stream.pieces.aclose()
    await asyncio.sleep(0.05)
    (settled,) = world.settlements()
    assert (settled.status_code, settled.exact, settled.device_s) == (499, True, 0.5)
    assert settled.units == world.dispatcher.known.units
    assert world.used("tokens") == 12


async def test_an_answer_is_delivered_although_the_store_went_away_and_settled_when_it_is_back(
    monkeypatch,
):
    world = World()
    tried = away_for(world, 30, monkeypatch)
    answer = await world.answer(world.call())
    assert answer.body == b'{"ok":true}'
    await until(world.settlements)
    assert len(tried) == 31
    assert [s.status_code for s in world.settlements()] == [200]
    assert world.used("tokens") == 7


async def test_a_caller_that_goes_while_its_whole_answer_is_settled_pays_for_it(monkeypatch):
    world = World()
    tried = away_for(world, 3, monkeypatch, delay_s=0.02)
    caller = asyncio.create_task(world.answer(world.call()))
    await until(lambda: tried)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await until(world.settlements)
    assert [s.status_code for s in world.settlements()] == [200]
    assert world.used("tokens") == 7


async def test_a_caller_that_goes_at_the_last_piece_while_the_store_is_away_pays_and_counts_once(
    monkeypatch,
):
    world = World()
    away_for(world, 3, monkeypatch, delay_s=0.02)
    stream = await world.path.stream(world.call(stream=True), KEY, world.who)
    while not world.telemetry.statuses:
        await anext(stream.pieces)
    await stream.pieces.aclose()
    await until(world.settlements)
    assert [s.status_code for s in world.settlements()] == [200]
    assert world.telemetry.statuses == [200]


async def test_a_whole_answer_is_settled_before_it_is_read():
    world = World()
    await world.answer(world.call())
    assert [s.status_code for s in world.settlements()] == [200]


async def test_a_stream_is_settled_before_its_end_is_read():
    world = World()
    stream = await world.path.stream(world.call(stream=True), KEY, world.who)
    kept = []
    while not world.settlements():
        kept.append(await anext(stream.pieces))
    assert [piece async for piece in stream.pieces] == [], "that was the last one"
    assert b"".join(kept)


async def test_a_settlement_that_no_store_takes_is_given_up_and_counted(monkeypatch):
    monkeypatch.setattr("ingress.settling.SETTLE_PATIENCE_S", 0.05)
    world = World()
    away_for(world, 10**6, monkeypatch)
    call = world.call()
    await world.answer(call)
    await until(lambda: world.telemetry.lost)
    assert world.telemetry.lost == [call.request_id]


def away_for(world, tries, monkeypatch, delay_s=0.0):
    """Let the store fail that many settlements; what is returned gets all that are tried."""
    monkeypatch.setattr("ingress.settling.SETTLE_RETRIES_S", (0.002,) * 4)
    monkeypatch.setattr("ingress.settling.LATER_RETRIES_S", 0.002)
    real, tried = world.admission.settle, []

    async def settle(settlement):
        tried.append(settlement)
        await asyncio.sleep(delay_s)
        if len(tried) <= tries:
            raise StoreUnavailable("away")
        return await real(settlement)

    monkeypatch.setattr(world.admission, "settle", settle)
    return tried


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # fakes have no events
            await asyncio.sleep(0.002)


async def test_a_caller_that_goes_away_before_a_whole_answer_is_settled_after_a_grace(monkeypatch):
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.01)
    world = World()
    world.dispatcher.gate = asyncio.Event()
    caller = asyncio.create_task(world.answer(world.call()))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0.05)
    assert [s.status_code for s in world.settlements()] == [499]
    assert not world.admission.reservations


@pytest.mark.parametrize("failure", [asyncio.CancelledError(), StoreUnavailable("no reply")])
async def test_an_ask_whose_reply_was_lost_does_not_keep_its_reservation(monkeypatch, failure):
    monkeypatch.setattr("ingress.settling.ORPHAN_GRACE_S", 0.01)
    world = World()
    real = world.admission.admit

    async def admitted_but_unheard(ask):
        await real(ask)
        raise failure

    monkeypatch.setattr(world.admission, "admit", admitted_but_unheard)
    with pytest.raises(type(failure)):
        await world.answer(world.call())
    assert world.admission.reservations
    await asyncio.sleep(0.05)
    assert not world.admission.reservations
    assert world.used("tokens") == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_that_takes_longer_than_its_lease_keeps_it(monkeypatch, stream):
    world = World()
    world.path._settling._renew_s = 0.01
    renewed = []
    real = world.admission.renew

    async def renew(request_id, units):
        renewed.append(units)
        await real(request_id, units)

    async def renewed_often():
        async with asyncio.timeout(10):
            while len(renewed) < 3:  # noqa: ASYNC110  # the fake has no event
                await asyncio.sleep(0.01)

    monkeypatch.setattr(world.admission, "renew", renew)
    if stream:
        answer = await world.path.stream(world.call(stream=True), KEY, world.who)
        await anext(answer.pieces)
        await anext(answer.pieces)
        await renewed_often()
        await answer.pieces.aclose()
        assert renewed[-1] == world.dispatcher.chunks[0].units
    else:
        world.dispatcher.gate = asyncio.Event()
        caller = asyncio.create_task(world.answer(world.call()))
        await renewed_often()
        world.dispatcher.gate.set()
        await caller
    await asyncio.sleep(0.02)  # a renewal that was under way may still arrive
    count = len(renewed)
    await asyncio.sleep(0.05)
    assert len(renewed) == count


async def test_a_request_that_is_not_admitted_compares_the_epoch_itself():
    world = World(principal(scopes=frozenset({Scope.KEYS})))
    await world.path.authorize(KEY, Scope.KEYS)
    world.identifier.current_epoch = "epoch-2"
    world.identifier.reload = None
    with pytest.raises(InvalidKey):
        await world.path.authorize(KEY, Scope.KEYS)
