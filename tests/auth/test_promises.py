"""Promises: what a run holds of its budgets, on the fake and on real Valkey alike."""

import asyncio

import pytest

from auth.admission import Admitted, Hit, Refused
from auth.plans import MONTH_S, Meter, Window
from auth.promises import PromisedStep, ValkeyPromises
from core.work import WorkUnits
from tests.auth.worlds import REPLY, ValkeyWorld, World, ask_of, requests, settled, tokens, used

RUN = "run_1"
LASTS_S = 3600


def step(name="a", calls=1, units=10, prices=None) -> PromisedStep:
    return PromisedStep(name, calls, WorkUnits(input_tokens=units), prices or {})


def call(*windows, step="a", run=RUN, **more):
    return ask_of(*windows, promise=(run, step), **more)


async def promised(world: World, windows, *steps, run=RUN):
    return await world.promises.promise(run, ask_of(*windows).scopes, steps, LASTS_S)


async def test_all_of_a_run_is_held_in_every_budget_and_in_no_rate(world: World):
    windows = (requests(9), tokens(100), tokens(50, 60))
    assert await promised(world, windows, step(calls=3, units=60), step("b", units=20)) is None
    assert await used(world.admission, ask_of(*windows)) == [4, 80, 0]
    assert await world.events() == []


async def test_a_budget_without_room_holds_nothing_and_is_named(world: World):
    windows = (requests(9), tokens(100))
    await world.admission.admit(ask_of(*windows, units=30))
    before = await world.contents()
    refused = await promised(world, windows, step(units=71))
    assert isinstance(refused, Refused)
    assert (refused.blocking.window, refused.amount) == (tokens(100), 71)
    assert await world.contents() == before
    assert await promised(world, windows, step(units=70)) is None


async def test_others_cannot_take_what_a_run_holds_and_its_own_calls_can(world: World):
    windows = (requests(9), tokens(100))
    await promised(world, windows, step(calls=2, units=100))
    assert isinstance(await world.admission.admit(ask_of(*windows, units=1)), Refused)
    for _ in range(2):
        ask = call(*windows, units=40)
        assert isinstance(await world.admission.admit(ask), Admitted)
        await world.admission.settle(settled(ask, 30))
    # Each call gave 50 of the promise for the 30 that it took, and so room for others.
    assert await used(world.admission, ask_of(*windows)) == [2, 60]
    assert isinstance(await world.admission.admit(call(*windows, units=41)), Refused)
    assert isinstance(await world.admission.admit(call(*windows, units=40)), Admitted)


async def test_a_call_that_asks_for_more_than_was_promised_needs_the_rest(world: World):
    windows = (tokens(100),)
    await promised(world, windows, step(units=20))
    await world.admission.admit(ask_of(*windows, units=50))
    before = await world.contents()
    assert isinstance(await world.admission.admit(call(*windows, units=51)), Refused)
    assert await world.contents() == before
    assert isinstance(await world.admission.admit(call(*windows, units=50)), Admitted)
    assert await used(world.admission, ask_of(*windows)) == [100]


@pytest.mark.parametrize(("status", "left"), [(503, [1, 40]), (400, [1, 0])])
async def test_what_a_call_took_that_failed_is_held_again_for_the_next_try(
    world: World, status, left
):
    windows = (requests(9), tokens(40))
    await promised(world, windows, step(units=40))
    ask = call(*windows, units=10)
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 0, status_code=status))
    assert await used(world.admission, ask) == left
    again = call(*windows, units=40)
    assert isinstance(await world.admission.admit(again), Admitted)


async def test_an_answer_from_the_cache_frees_what_was_held_for_it(world: World):
    windows = (requests(9), tokens(100))
    first = ask_of(*windows, cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY))
    await promised(world, windows, step(units=50))
    assert isinstance(await world.admission.admit(call(*windows, cache_key="k")), Hit)
    assert await used(world.admission, first) == [2, 10]


async def test_what_a_step_or_a_run_does_not_take_is_given_back(world: World):
    windows = (requests(9), tokens(100))
    await promised(world, windows, step(calls=4, units=40), step("b", units=50))
    await world.admission.admit(call(*windows, units=10))
    await world.promises.forget(RUN, "a")
    await world.promises.forget(RUN, "a")
    await world.promises.forget(RUN, "unknown")
    assert await used(world.admission, ask_of(*windows)) == [2, 60]
    await world.promises.end(RUN)
    await world.promises.end(RUN)
    assert await used(world.admission, ask_of(*windows)) == [1, 10]
    assert isinstance(await world.admission.admit(call(*windows, units=90)), Admitted)


async def test_the_same_promise_twice_is_one(world: World):
    windows = (tokens(100),)
    for _ in range(2):
        assert await promised(world, windows, step(units=60)) is None
    assert await used(world.admission, ask_of(*windows)) == [60]


async def test_money_is_held_too(world: World):
    money = Window(Meter.MONEY, MONTH_S, 1_000)
    prices = {"input_tokens": 1_000}
    assert await promised(world, (money,), step(units=800, calls=2, prices=prices)) is None
    assert isinstance(await promised(world, (money,), step(units=201), run="r"), type(None))
    refused = await promised(world, (money,), step(units=201, prices=prices), run="other")
    assert isinstance(refused, Refused)
    ask = call(money, units=400, prices=prices)
    assert isinstance(await world.admission.admit(ask), Admitted)
    assert await used(world.admission, ask) == [800]


async def test_of_runs_at_once_as_many_are_promised_as_there_is_room_for(world: World):
    windows = (requests(10),)
    runs = (promised(world, windows, step(calls=3), run=f"run_{n}") for n in range(8))
    verdicts = await asyncio.gather(*runs)
    assert verdicts.count(None) == 3
    assert await used(world.admission, ask_of(*windows)) == [9]


async def test_a_promise_on_a_scope_that_a_call_lacks_is_taken_there_too(world: World):
    both = (("tenant:t1", (tokens(100),)), ("key:k1", (tokens(100),)))
    await world.promises.promise(RUN, both, [step(calls=2, units=60)], LASTS_S)
    ask = call(scopes=both[:1], units=10)
    assert isinstance(await world.admission.admit(ask), Admitted)
    states = await world.admission.standing(both)
    assert [state.used for state in states] == [40, 30]


async def test_a_promise_that_nobody_ends_lapses(valkey_world: ValkeyWorld):
    promises = ValkeyPromises(valkey_world.store, valkey_world.prefix)
    windows = (tokens(100),)
    ask = ask_of(*windows)
    await promises.promise("left", ask.scopes, [step(units=60)], 0.0)
    await promises.promise("kept", ask.scopes, [step(units=30)], LASTS_S)
    await asyncio.sleep(1.1)
    await promises.sweep()
    assert await used(valkey_world.admission, ask) == [30]
    assert not [key for key in await valkey_world.keys() if key.endswith(b":left")]
