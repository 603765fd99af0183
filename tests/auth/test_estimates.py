"""Reservations learned from answers: never over the bound, and budgets that hold all the same."""

import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.admission import Admitted, Refused, Settlement
from auth.estimates import ENOUGH, ENOUGH_OF_TENANT, FLOOR, Estimates
from auth.pipeline import Pipeline
from auth.plans import DAY_S, MINUTE_S, Meter, Window
from auth.shared_estimates import SharedEstimates
from core.work import WorkUnits
from tests.auth.worlds import World, ask_of, used

BOUND = WorkUnits(input_tokens=20, output_tokens=1_000)


def taught(*tokens: int, tenant: str = "t1", times: int = ENOUGH) -> Estimates:
    estimates = Estimates()
    for _ in range(times):
        for count in tokens:
            estimates.learn(tenant, "m", BOUND, WorkUnits(output_tokens=count))
    return estimates


def test_until_enough_is_known_the_bound_is_reserved():
    assert Estimates().of("t1", "m", BOUND) is BOUND
    assert taught(100, times=ENOUGH - 1).of("t1", "m", BOUND) is BOUND


def test_what_is_usual_is_reserved_and_input_of_which_nothing_is_known_stays():
    reserved = taught(100).of("t2", "m", BOUND)
    assert reserved.input_tokens == BOUND.input_tokens
    assert 100 <= reserved.output_tokens <= 113


def test_prompts_are_reserved_as_they_usually_are_and_apart_from_answers():
    """Bytes are the bound; a token of prose has four of them, and one of digits has one."""
    estimates, bound = Estimates(), WorkUnits(input_tokens=4_000, output_tokens=4_000)
    for _ in range(ENOUGH):
        estimates.learn("t1", "m", bound, WorkUnits(input_tokens=1_000, output_tokens=50))
    reserved = estimates.of("t1", "m", bound)
    assert 1_000 <= reserved.input_tokens <= 1_125
    assert 50 <= reserved.output_tokens <= 57
    short = replace(bound, input_tokens=300)
    assert estimates.of("t1", "m", short).input_tokens == 300
    for _ in range(ENOUGH):
        estimates.learn("t1", "m", bound, WorkUnits(input_tokens=4_000, output_tokens=50))
    assert estimates.of("t1", "m", bound) == replace(reserved, input_tokens=4_000)


def test_a_few_long_answers_raise_what_is_reserved_to_the_mean():
    estimates = taught(*[10] * 49, 1_000)
    assert estimates.of("t1", "m", BOUND).output_tokens >= (49 * 10 + 1_000) / 50


def test_a_tenant_that_is_known_well_is_judged_by_its_own_answers():
    estimates = taught(50, times=ENOUGH_OF_TENANT)
    for _ in range(5 * ENOUGH_OF_TENANT):
        estimates.learn("t2", "m", BOUND, WorkUnits(output_tokens=800))
    assert estimates.of("t1", "m", BOUND).output_tokens < 60
    assert estimates.of("t2", "m", BOUND).output_tokens >= 800
    assert estimates.of("t3", "m", BOUND).output_tokens >= 800


def test_requests_that_allow_little_teach_nothing_about_those_that_allow_much():
    estimates = taught(900)
    small = replace(BOUND, output_tokens=20)
    for _ in range(10 * ENOUGH):
        estimates.learn("t1", "m", small, WorkUnits(output_tokens=3))
    assert estimates.of("t1", "m", BOUND).output_tokens >= 900
    assert estimates.of("t1", "m", small).output_tokens == FLOOR


@given(st.lists(st.integers(0, 5_000), max_size=200), st.integers(0, 5_000))
def test_never_more_than_the_bound_and_never_less_than_the_floor(actual: list[int], most: int):
    bound = WorkUnits(input_tokens=7, output_tokens=most, pixel_steps=3)
    estimates = Estimates()
    for tokens in actual:
        estimates.learn("t1", "m", bound, WorkUnits(output_tokens=tokens))
    reserved = estimates.of("t1", "m", bound)
    assert min(FLOOR, most) <= reserved.output_tokens <= most
    assert replace(reserved, output_tokens=most) == bound


async def test_a_new_gateway_begins_with_what_the_others_know(store: Pipeline, prefix: str):
    old, new = taught(100), Estimates()
    await SharedEstimates(old, store, prefix).exchange()
    assert new.of("t9", "m", BOUND) is BOUND
    await SharedEstimates(new, store, prefix).exchange()
    assert new.of("t9", "m", BOUND).output_tokens < 120
    assert new.of("t9", "m", BOUND).input_tokens == BOUND.input_tokens
    assert old.take_unshared() == {}, "told once"


async def test_a_rate_reserves_what_is_usual_and_a_budget_the_most(world: World):
    """120 and 1,020 of a request that usually takes 120 and may take 1,020."""
    rate, budget = Window(Meter.TOKENS, MINUTE_S, 360), Window(Meter.TOKENS, DAY_S, 2_200)
    usual = replace(BOUND, output_tokens=100)
    asks = [replace(ask_of(rate, budget), units=usual, bound=BOUND) for _ in range(3)]
    assert isinstance(await world.admission.admit(asks[0]), Admitted)
    assert await used(world.admission, asks[0]) == [120, 1_020]
    assert isinstance(await world.admission.admit(asks[1]), Admitted)
    refused = await world.admission.admit(asks[2])
    assert isinstance(refused, Refused)
    assert (refused.blocking.window, refused.amount) == (budget, 1_020)
    short = replace(asks[2], scopes=(("tenant:t1", (budget,)),), bound=None)
    assert isinstance(await world.admission.admit(short), Admitted), "who needs less, gets it"
    await world.admission.settle(Settlement(asks[0].request_id, usual))
    assert await used(world.admission, asks[0]) == [240, 120 + 1_020 + 120]


async def test_callers_at_once_never_exceed_a_budget(world: World):
    """Whatever was learned: two hundred whose answers take all that they may, at the same time."""
    budget = Window(Meter.TOKENS, DAY_S, 10_000)
    asks = [
        replace(ask_of(budget), units=replace(BOUND, output_tokens=FLOOR), bound=BOUND)
        for _ in range(200)
    ]
    verdicts = await asyncio.gather(*map(world.admission.admit, asks))
    admitted = [ask for ask, v in zip(asks, verdicts, strict=True) if isinstance(v, Admitted)]
    assert len(admitted) == 10_000 // BOUND.tokens
    for ask in admitted:
        await world.admission.settle(Settlement(ask.request_id, BOUND))
    assert (await used(world.admission, asks[0]))[0] == len(admitted) * BOUND.tokens


async def test_one_after_another_nobody_ever_exceeds_a_budget(world: World):
    """Whatever was learned: here that answers take 16 tokens, when they take all they may."""
    budget = Window(Meter.TOKENS, DAY_S, 10_000)
    lied = replace(BOUND, output_tokens=FLOOR)
    admitted = 0
    while True:
        ask = replace(ask_of(budget), units=lied, bound=BOUND)
        if not isinstance(await world.admission.admit(ask), Admitted):
            break
        admitted += 1
        await world.admission.settle(Settlement(ask.request_id, BOUND))
    assert admitted == 10_000 // BOUND.tokens
    assert (await used(world.admission, ask))[0] <= 10_000


@pytest.mark.parametrize("seconds", [MINUTE_S * 60, DAY_S])
async def test_two_hundred_callers_spend_a_window_without_overshooting_it(
    world: World, seconds: int
):
    """Answers of about 150 tokens, some of 1,000, of requests that allow 1,000."""
    chance, estimates = random.Random(seconds), Estimates()

    def answer() -> int:
        return min(1_000, int(chance.lognormvariate(4.6, 0.9)))

    for _ in range(500):
        estimates.learn("t1", "m", BOUND, WorkUnits(output_tokens=answer()))
    limit = 100_000
    window = Window(Meter.TOKENS, seconds, limit)
    spent, most_at_once, running = 0, 0, 0

    async def caller() -> None:
        nonlocal spent, most_at_once, running
        while True:
            units = estimates.of("t1", "m", BOUND)
            ask = replace(ask_of(window), units=units, bound=BOUND)
            if not isinstance(await world.admission.admit(ask), Admitted):
                return
            running += 1
            most_at_once = max(most_at_once, running)
            await asyncio.sleep(0)
            actual = WorkUnits(input_tokens=20, output_tokens=answer())
            await world.admission.settle(Settlement(ask.request_id, actual))
            estimates.learn("t1", "m", BOUND, actual)
            spent += actual.tokens
            running -= 1

    await asyncio.gather(*(caller() for _ in range(200)))
    at_bounds = limit // BOUND.tokens
    if window.is_budget:
        assert most_at_once <= at_bounds
    else:
        assert most_at_once > at_bounds, "more at once than bounds would have let run"
    while isinstance(await world.admission.admit(ask_of(window, units=1_020)), Admitted):
        spent += 1_020
    assert limit - 1_020 <= spent <= limit
