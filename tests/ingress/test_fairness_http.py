"""Tenants at a busy model, over HTTP: who is served, who waits, who is refused, what they read."""

import asyncio

import pytest

from core.model import CallContext
from ingress.readiness import ApplicationState, Intake
from tests.ingress.busy_world import busy_world, settle
from tests.ingress.test_path import World

FREE = ("0", "0")


@pytest.fixture
async def busy(monkeypatch):
    async with busy_world(monkeypatch, at_once=4, queue=1_000) as world:
        yield world


@pytest.fixture
async def short(monkeypatch):
    """Four run, ten wait."""
    async with busy_world(monkeypatch, at_once=4, queue=10) as world:
        yield world


async def finish(world, tasks):
    while not all(task.done() for task in tasks):
        await world.model.round()
    return await asyncio.gather(*tasks)


def told(response):
    return response.headers.get("x-queue-position"), response.headers.get("x-queue-eta-ms")


async def test_one_request_is_served_after_one_service_time_and_not_after_the_200_of_another(busy):
    burst = [busy.post("loud") for _ in range(200)]
    await settle()
    one = busy.post("quiet")
    await settle()
    await busy.model.round()
    assert busy.model.seen.index("quiet") < 8
    await busy.model.round()
    assert one.done()
    assert (await one).status_code == 200
    answers = await finish(busy, burst)
    assert {answer.status_code for answer in answers} == {200}
    assert busy.model.most == 4


async def test_a_plan_of_more_weight_gets_more_while_both_wait(busy):
    tasks = [busy.post("loud") for _ in range(60)]
    await busy.queue_of(56)
    tasks += [busy.post("big") for _ in range(60)]
    await busy.queue_of(116)
    await finish(busy, tasks)
    assert busy.model.seen[4:60].count("big") >= 50


async def test_only_those_who_wait_read_of_a_queue(busy):
    first = [busy.post("loud") for _ in range(4)]
    assert {told(answer) for answer in await finish(busy, first)} == {FREE}
    running = [busy.post("loud") for _ in range(4)]
    await settle()
    waiting = []
    for _ in range(3):
        waiting.append(busy.post("loud"))
        await settle()
    waiting.append(busy.post("quiet", stream=True))
    await settle()
    answers = await finish(busy, [*running, *waiting])
    assert [told(answer) for answer in answers[:4]] == [FREE] * 4
    positions = [told(answer)[0] for answer in answers[4:]]
    assert positions == ["1", "2", "3", "2"]  # the quiet one before two of the loud one's
    etas = [int(told(answer)[1]) for answer in answers[4:7]]
    assert 0 < etas[0] < etas[1] < etas[2]


async def test_before_anything_was_measured_there_is_a_position_and_no_eta(busy):
    tasks = [busy.post("loud") for _ in range(5)]
    await settle()
    assert told((await finish(busy, tasks))[-1]) == ("1", None)


async def test_an_answer_from_the_cache_does_not_wait(busy):
    await finish(busy, [busy.post("quiet", content="same")])
    burst = [busy.post("loud") for _ in range(10)]
    await settle()
    hit = await busy.post("quiet", content="same")
    assert (hit.headers["x-cache"], told(hit)) == ("HIT", FREE)
    await finish(busy, burst)


async def test_a_full_queue_is_left_by_the_one_who_fills_it(short):
    loud = [short.post("loud") for _ in range(14)]
    await settle()
    refused = await short.post("loud")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    quiet = [short.post("quiet") for _ in range(3)]
    await settle()
    left = [task for task in loud if task.done()]
    assert [(await task).status_code for task in left] == [429] * 3
    assert left == loud[-3:]
    assert {answer.status_code for answer in await finish(short, quiet)} == {200}
    served = [answer.status_code for answer in await finish(short, loud)]
    assert served.count(200) == 11
    assert not short.admission.reservations


async def test_a_waiting_caller_that_goes_away_frees_its_reservation_at_once(busy):
    running = [busy.post("loud") for _ in range(4)]
    await settle()
    gone = busy.post("quiet", stream=True)
    stays = busy.post("quiet")
    await settle()
    assert len(busy.admission.reservations) == 6
    gone.cancel()
    await settle()
    assert len(busy.admission.reservations) == 5
    ended = [event.settlement for event in busy.admission.events if event.settlement]
    assert [(s.status_code, s.exact, s.units.amount) for s in ended] == [(499, True, 0)]
    await finish(busy, [*running, stays])
    assert busy.model.seen.count("quiet") == 1


async def test_a_place_comes_back_when_a_stream_is_cut(busy):
    streams = [busy.post("loud", stream=True) for _ in range(4)]
    await settle()
    waiting = busy.post("quiet")
    await settle()
    streams[0].cancel()
    await settle()
    assert busy.model.seen.count("quiet") == 1
    await finish(busy, [*streams[1:], waiting])


async def test_a_stream_that_ended_keeps_no_place_however_slowly_it_is_read(busy):
    call = World().call(stream=True)
    chunks = busy.dispatcher.stream(call, CallContext("r1", "salt-of-quiet"))
    await anext(chunks)
    running = [busy.post("loud") for _ in range(3)]
    await settle()
    waiting = busy.post("loud")
    await settle()
    assert len(busy.model.seen) == 4
    await asyncio.gather(busy.model.round(), anext(chunks))
    await settle()
    assert len(busy.model.seen) == 5
    await chunks.aclose()
    await finish(busy, [*running, waiting])


async def test_a_sleeping_model_is_woken_by_as_many_as_it_takes_and_the_rest_are_told(busy):
    asleep = ApplicationState("RUNNING", "", 0, 0.0, Intake(0, 1, 4, 1_000))
    busy.readiness.applications = {"echo": asleep}
    tasks = [busy.post("loud") for _ in range(10)]
    await settle()
    assert len(busy.model.seen) == 4
    answers = await asyncio.gather(*tasks)
    assert {answer.json()["error"]["code"] for answer in answers} == {"model_loading"}
    assert not busy.admission.reservations
