"""Windows of every kind of work, of money, and of what runs at once: on the fake and on Valkey."""

import asyncio
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.admission import Admitted, Ask, Hit, Refused
from auth.amounts import amount_of
from auth.plans import DAY_S, HOUR_S, MONTH_S, NANO, Meter, Window
from auth.prices import money_of
from core.work import NO_WORK, WorkUnits
from tests.auth.worlds import REPLY, ValkeyWorld, World, ask_of, requests, settled, used

MODALITIES = {
    Meter.CHARACTERS: WorkUnits(characters=300),
    Meter.PIXEL_STEPS: WorkUnits(pixel_steps=64 * 64 * 20),
    Meter.AUDIO_MS: WorkUnits(audio_ms=12_000),
    Meter.VIDEO_PIXEL_MS: WorkUnits(video_pixel_ms=1280 * 720 * 5_000),
    Meter.ROWS: WorkUnits(rows=10_000),
    Meter.TOKENS: WorkUnits(input_tokens=70, output_tokens=30),
}
PRICES = {"input_tokens": 5_000, "cached_tokens": 1_000, "output_tokens": 20_000}
"""Pico units each."""


def ask_for(units: WorkUnits, *windows: Window, **more: object) -> Ask:
    return replace(ask_of(*windows), units=units, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("meter", "units"), MODALITIES.items())
async def test_each_modality_is_held_to_its_own_budget(
    world: World, meter: Meter, units: WorkUnits
):
    amount = amount_of(meter, units, {})
    window = Window(meter, HOUR_S, 2 * amount + amount // 2)
    asks = [ask_for(units, window) for _ in range(3)]
    verdicts = [await world.admission.admit(ask) for ask in asks]
    assert [type(verdict) for verdict in verdicts] == [Admitted, Admitted, Refused]
    refused = verdicts[2]
    assert isinstance(refused, Refused)
    assert (refused.blocking.window, refused.amount) == (window, amount)
    half = WorkUnits(**{f.name: getattr(units, f.name) // 2 for f in fields(WorkUnits)})
    await world.admission.settle(replace(settled(asks[0]), units=half))
    await world.admission.settle(replace(settled(asks[1]), units=half))
    assert isinstance(await world.admission.admit(ask_for(units, window)), Admitted)


@pytest.mark.parametrize(("meter", "units"), MODALITIES.items())
async def test_two_hundred_callers_against_a_budget_for_exactly_n(
    world: World, meter: Meter, units: WorkUnits
):
    amount, n = amount_of(meter, units, {}), 37
    window = Window(meter, DAY_S, n * amount)
    asks = [ask_for(units, window) for _ in range(200)]
    verdicts = await asyncio.gather(*(world.admission.admit(ask) for ask in asks))
    assert sum(isinstance(verdict, Admitted) for verdict in verdicts) == n


async def test_money_is_reserved_and_settled_to_the_last_billionth(world: World):
    units = WorkUnits(input_tokens=100, cached_tokens=40, output_tokens=11)
    cost = money_of(units, PRICES)
    assert cost == -(-(60 * 5_000 + 40 * 1_000 + 11 * 20_000) // 1_000)
    window = Window(Meter.MONEY, DAY_S, 2 * cost - 1)
    first, second = (ask_for(units, window, prices=PRICES) for _ in range(2))
    assert isinstance(await world.admission.admit(first), Admitted)
    assert await used(world.admission, first) == [cost]
    assert isinstance(await world.admission.admit(second), Refused)
    actual = WorkUnits(input_tokens=100, cached_tokens=100)
    await world.admission.settle(replace(settled(first), units=actual))
    assert await used(world.admission, first) == [100]
    assert isinstance(await world.admission.admit(second), Admitted)


async def test_what_has_no_price_costs_no_money(world: World):
    window = Window(Meter.MONEY, DAY_S, 1)
    for _ in range(3):
        ask = ask_for(WorkUnits(input_tokens=1_000_000), window)
        assert isinstance(await world.admission.admit(ask), Admitted)
        assert await used(world.admission, ask) == [0]


async def test_a_cached_answer_costs_a_request_and_no_money(world: World):
    windows = (requests(5), Window(Meter.MONEY, DAY_S, 10**9), Window(Meter.CONCURRENCY, 0, 1))
    units = WorkUnits(input_tokens=100)
    first = ask_for(units, *windows, prices=PRICES, cache_key="same")
    await world.admission.admit(first)
    await world.admission.settle(replace(settled(first), cache=REPLY))
    running = ask_for(units, *windows, prices=PRICES)
    assert isinstance(await world.admission.admit(running), Admitted)
    before = await used(world.admission, first)
    hit = ask_for(units, *windows, prices=PRICES, cache_key="same")
    assert isinstance(await world.admission.admit(hit), Hit), "also while nothing else may run"
    assert await used(world.admission, first) == [before[0] + 1, before[1], 1]


async def test_concurrency_counts_what_runs(world: World):
    window = Window(Meter.CONCURRENCY, 0, 2)
    asks = [ask_of(window) for _ in range(4)]
    assert isinstance(await world.admission.admit(asks[0]), Admitted)
    assert isinstance(await world.admission.admit(asks[1]), Admitted)
    refused = await world.admission.admit(asks[2])
    assert isinstance(refused, Refused)
    assert refused.blocking.reset_ms == 0
    await world.admission.settle(settled(asks[0]))
    await world.admission.settle(settled(asks[0]))  # once is once
    assert isinstance(await world.admission.admit(asks[2]), Admitted)
    assert isinstance(await world.admission.admit(asks[3]), Refused)
    await world.expire(asks[1].request_id)
    assert len(await world.admission.sweep()) == 1
    assert await used(world.admission, asks[0]) == [1]


async def test_a_watched_window_counts_and_tells_and_refuses_nothing(world: World):
    watched = replace(requests(1, HOUR_S), watched=True)
    held = requests(3)
    first, second = ask_of(watched, held), ask_of(watched, held)
    verdict = await world.admission.admit(first)
    assert isinstance(verdict, Admitted)
    assert verdict.would_refuse == ()
    verdict = await world.admission.admit(second)
    assert isinstance(verdict, Admitted)
    assert [state.window for state in verdict.would_refuse] == [watched]
    assert await used(world.admission, first) == [2, 2]


async def test_every_scope_holds_for_itself(world: World):
    scopes = (
        ("tenant:t1", (requests(9),)),
        ("user:t1:ada", (requests(2),)),
        ("key:k1", (requests(1),)),
    )
    first = ask_of(scopes=scopes)
    other_key = ask_of(scopes=(*scopes[:2], ("key:k2", (requests(5),))))
    assert isinstance(await world.admission.admit(first), Admitted)
    refused = await world.admission.admit(ask_of(scopes=scopes))
    assert isinstance(refused, Refused)
    assert refused.blocking.scope == "key:k1"
    assert isinstance(await world.admission.admit(other_key), Admitted)
    refused = await world.admission.admit(replace(other_key, request_id="third"))
    assert isinstance(refused, Refused)
    assert refused.blocking.scope == "user:t1:ada"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati"])
@pytest.mark.parametrize("seconds", [DAY_S, MONTH_S])
async def test_days_and_months_of_a_calendar_are_counted_and_refunded(
    world: World, zone: str, seconds: int
):
    window = Window(Meter.TOKENS, DAY_S, 100, zone=zone)
    ask = ask_of(window, units=60)
    verdict = await world.admission.admit(ask)
    assert isinstance(verdict, Admitted)
    assert 0 < verdict.windows[0].reset_ms <= 31 * DAY_S * 1000
    assert isinstance(await world.admission.admit(ask_of(window, units=60)), Refused)
    await world.admission.settle(settled(ask, 10))
    assert await used(world.admission, ask) == [10]


@given(
    st.builds(WorkUnits, *[st.integers(0, 10**9)] * 9),
    st.dictionaries(st.sampled_from([f.name for f in fields(WorkUnits)]), st.integers(0, 10**6)),
)
def test_money_is_never_negative_and_grows_with_work(units: WorkUnits, prices: dict[str, int]):
    cost = money_of(units, prices)
    assert cost >= 0
    assert money_of(units + WorkUnits(rows=1), prices) >= cost
    assert money_of(NO_WORK, prices) == 0


async def test_the_store_and_this_code_agree_on_money(valkey_world: ValkeyWorld):
    """The script computes with doubles: exact up to 2^53 pico units, which is 9,007 of money."""
    for scale in (1, 997, 10**6, 10**9):
        units = WorkUnits(
            input_tokens=7 * scale,
            cached_tokens=3 * scale,
            output_tokens=2 * scale,
            reasoning_tokens=scale,
            rows=scale,
        )
        prices = PRICES | {"rows": 3}
        ask = ask_for(units, Window(Meter.MONEY, DAY_S, 10**6 * NANO), prices=prices)
        before = (await used(valkey_world.admission, ask))[0]
        assert isinstance(await valkey_world.admission.admit(ask), Admitted)
        after = (await used(valkey_world.admission, ask))[0]
        assert after - before == money_of(units, prices)


async def test_another_time_zone_opens_no_window(world: World):
    """Else whoever may change a tenant's time zone has as many budgets as there are zones."""

    def spend(zone: str) -> Ask:
        window = Window(Meter.TOKENS, DAY_S, 100, zone=zone)
        return ask_for(WorkUnits(input_tokens=100), window)

    assert isinstance(await world.admission.admit(spend("UTC")), Admitted)
    for zone in ("Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu", "UTC"):
        assert isinstance(await world.admission.admit(spend(zone)), Refused)
        assert await used(world.admission, spend(zone)) == [100]


async def test_what_began_in_another_time_zone_is_settled_where_it_is_counted(world: World):
    # Of zones that are 22 hours apart the later's day is another one, two hours a day.
    there = Window(Meter.TOKENS, DAY_S, 1_000, zone="Asia/Kathmandu")
    here = replace(there, zone="America/Los_Angeles")
    first, second = (ask_for(WorkUnits(input_tokens=100), zoned) for zoned in (there, here))
    for ask in (first, second):
        assert isinstance(await world.admission.admit(ask), Admitted)
    await world.admission.settle(settled(first, 30))
    assert await used(world.admission, second) == [130]
    await world.admission.settle(settled(second, 150))
    assert await used(world.admission, second) == [180]
