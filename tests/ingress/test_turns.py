"""Turns at a busy model: who waits, who is refused, and that every place is given back."""

import asyncio
import random
from contextlib import suppress

import pytest

from core.model import ModelCard
from core.work import NO_WORK, WorkUnits
from ingress.readiness import ApplicationState, Intake, Readiness
from ingress.turns import NO_WAIT, Outlook, Room, Turns, room_of
from tests.fakes.dispatch import principal
from tests.ingress.test_path import World

CARD = ModelCard(id="echo", spec="deployments.echo:SPEC")
WEIGHTS = {"small": 1, "large": 4}


class Watch:
    def __init__(self):
        self.now = {}
        self.waits = []

    def waiting(self, model, count):
        self.now[model] = count

    def waited(self, model, wait_ms):
        self.waits.append(wait_ms)


class Busy:
    """One model of `at_once` places."""

    def __init__(self, at_once=2, queue=100):
        self.readiness = Readiness()
        self.world = World()
        self.watch = Watch()
        self.resize(at_once, queue)
        self.turns = Turns(self.readiness, lambda who: WEIGHTS[who.plan], self.watch)
        self.served = []
        self.most = self.running = 0

    def resize(self, at_once, queue=100):
        intake = Intake(1, 1, at_once, queue)
        state = ApplicationState("RUNNING", "", 1, 0.0, intake)
        self.readiness.applications = {"echo": state}

    def take(self, tenant, plan="small", expected=NO_WORK):
        call = self.world.call()
        call.principal = principal(tenant_id=tenant, plan=plan)
        call.expected = expected
        return self.turns.take(call)

    async def work(self, tenant, seconds=0.001, plan="small"):
        """One call from its beginning to its end: whether it was served."""
        with self.take(tenant, plan) as turn:
            if not turn.is_given and not await turn.come():
                return False
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await asyncio.sleep(seconds)
                self.served.append(tenant)
                turn.units = WorkUnits(output_tokens=1)
            finally:
                self.running -= 1
        return True

    def outlook(self, tenant="t"):
        return self.turns.outlook(CARD, principal(tenant_id=tenant))

    def is_idle(self):
        line = self.turns._lines["echo"]
        return (line._running, len(line._queue), line._contended) == (0, 0, False)


async def test_while_there_is_room_nobody_waits():
    busy = Busy(at_once=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "shield", lambda _: pytest.fail("waited"))
        assert all(await asyncio.gather(*(busy.work("a") for _ in range(32))))
    assert (busy.most, busy.watch.waits) == (32, [])
    assert busy.is_idle()


async def test_every_place_of_the_model_is_used_and_no_more():
    busy = Busy(at_once=8)
    assert all(await asyncio.gather(*(busy.work(f"t{n % 3}") for n in range(60))))
    assert busy.most == 8
    assert len(busy.watch.waits) == 52
    assert busy.watch.now == {"echo": 0}
    assert busy.is_idle()


async def test_a_single_request_overtakes_a_burst():
    busy = Busy(at_once=2)
    burst = [asyncio.create_task(busy.work("loud")) for _ in range(50)]
    await asyncio.sleep(0)
    await busy.work("quiet")
    assert busy.served.index("quiet") <= 4
    assert all(await asyncio.gather(*burst))


async def test_a_heavier_plan_gets_more_of_a_busy_model():
    busy = Busy(at_once=1)
    tasks = [asyncio.create_task(busy.work("light", 0.0005)) for _ in range(40)]
    tasks += [asyncio.create_task(busy.work("heavy", 0.0005, "large")) for _ in range(40)]
    await asyncio.gather(*tasks)
    assert 30 <= busy.served[:45].count("heavy") <= 38


async def test_a_full_queue_refuses_the_one_that_fills_it():
    busy = Busy(at_once=1, queue=5)
    loud = [asyncio.create_task(busy.work("loud")) for _ in range(10)]
    await asyncio.sleep(0)
    quiet = [asyncio.create_task(busy.work("quiet")) for _ in range(2)]
    assert await asyncio.gather(*quiet) == [True, True]
    assert (await asyncio.gather(*loud)).count(True) == 4  # one ran, five waited, two had to go
    assert busy.is_idle()


async def test_more_replicas_take_more_at_once():
    busy = Busy(at_once=1)
    with busy.take("a"):
        waiting = busy.take("a")
        with waiting:
            assert not waiting.is_given
            busy.resize(2)
            busy.readiness._tell()
            assert waiting.is_given
    assert busy.is_idle()


async def test_whoever_gives_up_is_gone_at_once():
    busy = Busy(at_once=1)
    with busy.take("a"):
        tasks = [asyncio.create_task(busy.work("b")) for _ in range(3)]
        await asyncio.sleep(0)
        assert busy.outlook("b").position == 4
        tasks[1].cancel()
        await asyncio.sleep(0.001)
        assert (busy.outlook("b").position, busy.watch.now) == (3, {"echo": 2})
        tasks[1].cancel()
    assert [await tasks[0], await tasks[2]] == [True, True]
    assert busy.is_idle()


async def test_cancelled_in_the_moment_it_is_its_turn_gives_the_place_back():
    busy = Busy(at_once=1)
    first = busy.take("a")
    task = asyncio.create_task(busy.work("b"))
    await asyncio.sleep(0)
    with first:
        pass  # the place is b's now, but b has not run yet
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert busy.is_idle()


@pytest.mark.parametrize("seed", range(8))
async def test_calls_cancelled_at_any_moment_leave_nothing(seed):
    busy, dice = Busy(at_once=3, queue=20), random.Random(seed)
    tasks = []
    for _ in range(120):
        tenant, seconds = dice.choice("abc"), dice.random() * 0.002
        tasks.append(asyncio.create_task(busy.work(tenant, seconds)))
        if dice.random() < 0.5:
            dice.choice(tasks).cancel()
        if dice.random() < 0.5:
            await asyncio.sleep(dice.random() * 0.002)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert busy.most <= 3
    assert busy.is_idle()


async def test_the_wait_is_predicted_from_what_calls_took():
    busy = Busy(at_once=2)
    assert busy.outlook() == NO_WAIT
    first = [busy.take("a", expected=WorkUnits(output_tokens=10)) for _ in range(2)]
    assert busy.outlook("b") == Outlook(1, None)  # busy, and nothing has been measured yet
    for turn in first:
        turn._began -= 4.0  # as if it had run for four seconds
        turn.units = NO_WORK
        turn.__exit__(None, None, None)
    running = [busy.take("a", expected=WorkUnits(output_tokens=10)) for _ in range(2)]
    waiting = [busy.take("a", expected=WorkUnits(output_tokens=10)) for _ in range(3)]
    position, wait_s = busy.outlook("a")
    assert (position, round(wait_s or 0)) == (4, 8)  # a place each two seconds, three before it
    position, wait_s = busy.outlook("b")
    assert (position, round(wait_s or 0)) == (2, 4)
    for turn in (*waiting, *running):
        turn.__exit__(None, None, None)
    assert busy.is_idle()


def test_an_unknown_model_is_not_held_back():
    turns = Turns(Readiness(), lambda _: 1, Watch())
    assert all(turns.take(World().call()).is_given for _ in range(1_000))


@pytest.mark.parametrize(
    ("intake", "room"),
    [
        (Intake(2, 2, 64, 128), Room(128, 128)),
        (Intake(1, 3, 64, 128), Room(128, 128)),
        (Intake(0, 1, 16, 64), Room(16, 64)),
    ],
)
def test_a_model_takes_what_its_replicas_take_and_one_more_while_it_can_grow(intake, room):
    assert room_of(intake) == room
