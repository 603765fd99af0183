"""The admission contract, on the fake and on real Valkey alike."""

import asyncio
from dataclasses import replace

import pytest

from auth.admission import Abandoned, Admitted, CachedReply, Hit, InFlight, Refused, Stale
from auth.plans import Meter, Window
from core.errors import Conflict
from core.work import WorkUnits
from tests.auth.worlds import REPLY, World, ask_of, requests, settled, tokens, used

RUNNING = Window(Meter.CONCURRENCY, 0, 1)


async def test_an_admitted_request_is_charged_its_estimate_in_every_window(world: World):
    ask = ask_of(requests(5), requests(9, 3600), tokens(100), units=30)
    verdict = await world.admission.admit(ask)
    assert isinstance(verdict, Admitted)
    assert [state.used for state in verdict.windows] == [1, 1, 30]
    assert [state.remaining for state in verdict.windows] == [4, 8, 70]
    assert [state.window for state in verdict.windows] == list(ask.scopes[0][1])
    assert all(0 < s.reset_ms <= s.window.seconds * 1000 for s in verdict.windows)
    assert await world.events() == [("admitted", ask.request_id)]


async def test_settling_gives_unused_tokens_back(world: World):
    ask = ask_of(requests(5), tokens(100), units=30)
    await world.admission.admit(ask)
    assert await world.admission.settle(settled(ask, 12))
    assert await used(world.admission, ask) == [1, 12]
    assert await world.events() == [("admitted", ask.request_id), ("settled", ask.request_id)]


async def test_work_beyond_the_estimate_is_charged(world: World):
    ask = ask_of(tokens(100), units=30)
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 130))
    assert await used(world.admission, ask) == [130]
    assert isinstance(await world.admission.admit(ask_of(tokens(100), units=1)), Refused)
    assert isinstance(await world.admission.admit(ask_of(tokens(100), units=0)), Admitted)


async def test_settling_twice_changes_nothing(world: World):
    ask = ask_of(requests(5), tokens(100), units=30)
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 12))
    before = await world.contents()
    assert not await world.admission.settle(settled(ask, 30))
    assert await world.contents() == before


async def test_settling_what_was_never_admitted_changes_nothing(world: World):
    before = await world.contents()
    assert not await world.admission.settle(settled(ask_of(), 30))
    assert await world.contents() == before


@pytest.mark.parametrize("status_code", [429, 500, 503, 504])
async def test_a_failure_that_is_not_the_callers_gives_the_request_back(
    world: World, status_code: int
):
    ask = ask_of(requests(5), tokens(100))
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 0, status_code=status_code, error_code="x"))
    assert await used(world.admission, ask) == [0, 0]


@pytest.mark.parametrize("status_code", [200, 400, 422, 499])
async def test_a_callers_failure_still_counts_as_a_request(world: World, status_code: int):
    ask = ask_of(requests(5), tokens(100))
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 0, status_code=status_code))
    assert await used(world.admission, ask) == [1, 0]


async def test_a_refusal_names_the_window_and_changes_nothing(world: World):
    windows = (requests(9), tokens(100), tokens(25, 3600))
    await world.admission.admit(ask_of(*windows, units=20))
    before = await world.contents()
    verdict = await world.admission.admit(ask_of(*windows, units=20, cache_key="k"))
    assert isinstance(verdict, Refused)
    assert verdict.blocking.window == tokens(25, 3600)
    assert [state.used for state in verdict.windows] == [1, 20, 20]
    assert await world.contents() == before


async def test_one_full_scope_refuses_all_and_charges_none(world: World):
    scopes = (("tenant:t1", (requests(9),)), ("key:k1", (requests(1),)))
    await world.admission.admit(ask_of(scopes=scopes))
    before = await world.contents()
    verdict = await world.admission.admit(ask_of(scopes=scopes))
    assert isinstance(verdict, Refused)
    assert verdict.blocking.scope == "key:k1"
    assert await world.contents() == before


async def test_an_estimate_over_the_limit_is_refused_with_a_blocking_limit_below_it(world: World):
    verdict = await world.admission.admit(ask_of(tokens(100), units=101))
    assert isinstance(verdict, Refused)
    assert verdict.blocking.window.limit < 101


async def test_of_two_full_windows_the_longest_wait_is_told(world: World):
    windows = (requests(1, 60), requests(1))
    await world.admission.admit(ask_of(*windows))
    verdict = await world.admission.admit(ask_of(*windows))
    assert isinstance(verdict, Refused)
    assert verdict.blocking.window == requests(1)


async def test_a_window_can_be_used_up_to_its_very_limit(world: World):
    windows = (requests(2), tokens(100))
    assert isinstance(await world.admission.admit(ask_of(*windows, units=60)), Admitted)
    last = await world.admission.admit(ask_of(*windows, units=40))
    assert isinstance(last, Admitted)
    assert [state.remaining for state in last.windows] == [0, 0]


async def test_no_windows_is_no_limit(world: World):
    for _ in range(3):
        assert isinstance(await world.admission.admit(ask_of(units=10**9)), Admitted)


async def test_two_hundred_callers_at_once_get_exactly_the_limit(world: World):
    asks = [ask_of(requests(37), tokens(10_000)) for _ in range(200)]
    verdicts = await asyncio.gather(*(world.admission.admit(ask) for ask in asks))
    assert sum(isinstance(verdict, Admitted) for verdict in verdicts) == 37
    assert await used(world.admission, asks[0]) == [37, 370]


async def test_a_stale_principal_is_not_admitted_and_changes_nothing(world: World):
    await world.set_epoch("t1", "epoch-2")
    before = await world.contents()
    assert isinstance(await world.admission.admit(ask_of(requests(5))), Stale)
    assert await world.contents() == before
    assert isinstance(await world.admission.admit(ask_of(epoch="epoch-2")), Admitted)


async def test_a_request_id_in_use_is_a_conflict(world: World):
    ask = ask_of(requests(5))
    await world.admission.admit(ask)
    before = await world.contents()
    with pytest.raises(Conflict):
        await world.admission.admit(ask)
    assert await world.contents() == before


async def test_a_cached_answer_counts_a_request_and_no_tokens(world: World):
    first = ask_of(requests(5), tokens(15), cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY))
    again = replace(first, request_id="again")
    verdict = await world.admission.admit(again)  # though its tokens would not fit any more
    assert isinstance(verdict, Hit)
    assert verdict.reply == REPLY
    assert [state.used for state in verdict.windows] == [2, 10]
    assert (await world.events())[-1] == ("hit", "again")
    assert not await world.admission.settle(settled(again))


async def test_a_cached_answer_is_refused_when_requests_are_used_up(world: World):
    first = ask_of(requests(1), cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY))
    assert isinstance(await world.admission.admit(ask_of(requests(1), cache_key="k")), Refused)


async def test_no_cache_skips_the_lookup_but_stores_the_new_answer(world: World):
    first = ask_of(cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY))
    fresh = ask_of(cache_key="k", read_cache=False)
    assert isinstance(await world.admission.admit(fresh), Admitted)
    newer = CachedReply(b"newer", "text/plain", WorkUnits(1))
    await world.admission.settle(settled(fresh, cache=newer))
    verdict = await world.admission.admit(ask_of(cache_key="k"))
    assert isinstance(verdict, Hit)
    assert verdict.reply == newer


async def test_a_failed_answer_is_never_cached(world: World):
    first = ask_of(cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY, status_code=500))
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)


async def test_one_tenants_cache_and_flights_are_invisible_to_another(world: World):
    first = ask_of(cache_key="k")
    await world.admission.admit(first)
    running = await world.admission.admit(ask_of(cache_key="k", tenant="t2"))
    assert isinstance(running, Admitted)
    await world.admission.settle(settled(first, cache=REPLY))
    assert isinstance(await world.admission.admit(ask_of(cache_key="k", tenant="t2")), InFlight)


async def test_identical_requests_at_once_run_one_time(world: World):
    leader = ask_of(requests(9), cache_key="k")
    assert isinstance(await world.admission.admit(leader), Admitted)
    before = await world.contents()
    follower = ask_of(requests(9), cache_key="k")
    verdict = await world.admission.admit(follower)
    assert isinstance(verdict, InFlight)
    assert 0 < verdict.retry_after_ms <= 60_000
    assert await world.contents() == before
    assert not await world.admission.wait(follower, 0.01)
    await world.admission.settle(settled(leader, cache=REPLY))
    assert await world.admission.wait(follower, 1.0)
    assert isinstance(await world.admission.admit(follower), Hit)


async def test_when_the_leader_fails_a_follower_takes_over(world: World):
    leader, follower = ask_of(cache_key="k"), ask_of(cache_key="k")
    await world.admission.admit(leader)
    await world.admission.settle(settled(leader, 0, status_code=500))
    assert isinstance(await world.admission.admit(follower), Admitted)


async def test_who_does_not_share_runs_on_its_own(world: World):
    await world.admission.admit(ask_of(cache_key="k"))
    assert isinstance(await world.admission.admit(ask_of(cache_key="k", share=False)), Admitted)


async def test_an_expired_lease_is_settled_with_the_units_last_heard_of(world: World):
    ask = ask_of(requests(5), tokens(100), units=50, cache_key="k")
    await world.admission.admit(ask)
    await world.admission.renew(ask.request_id, WorkUnits(5, 0, 7))
    assert not await world.admission.sweep()
    await world.expire(ask.request_id)
    assert len(await world.admission.sweep()) == 1
    assert await used(world.admission, ask) == [1, 12]
    assert (await world.events())[-1] == ("abandoned", ask.request_id)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)


@pytest.mark.parametrize("application", ["echo", None])
async def test_the_sweeper_says_who_may_know_better(world: World, application: str | None):
    ask = ask_of(tokens(100), recalled_from=application)
    await world.admission.admit(ask)
    await world.expire(ask.request_id)
    assert await world.admission.sweep() == [Abandoned(ask.request_id, application)]


async def test_who_settles_after_its_lease_ran_out_corrects_what_was_guessed(world: World):
    ask = ask_of(requests(5), tokens(100), RUNNING, units=50)
    await world.admission.admit(ask)
    await world.admission.renew(ask.request_id, WorkUnits(5))
    await world.expire(ask.request_id)
    await world.admission.sweep()
    assert await used(world.admission, ask) == [1, 5, 0]
    assert await world.admission.settle(settled(ask, 30))
    assert await used(world.admission, ask) == [1, 30, 0]
    assert (await world.events())[-1] == ("settled", ask.request_id)
    assert not await world.admission.settle(settled(ask, 40))
    assert await used(world.admission, ask) == [1, 30, 0]


async def test_a_failure_told_after_the_lease_ran_out_gives_the_guess_and_the_request_back(
    world: World,
):
    ask = ask_of(requests(5), tokens(100), units=50)
    await world.admission.admit(ask)
    await world.admission.renew(ask.request_id, WorkUnits(5))
    await world.expire(ask.request_id)
    await world.admission.sweep()
    assert await world.admission.settle(settled(ask, 0, status_code=503))
    assert await used(world.admission, ask) == [0, 0]


async def test_who_renews_after_its_lease_ran_out_has_its_reservation_again(world: World):
    windows = (requests(5), tokens(100), RUNNING)
    ask = ask_of(*windows, units=50)
    await world.admission.admit(ask)
    await world.expire(ask.request_id)
    await world.admission.sweep()
    assert await used(world.admission, ask) == [1, 0, 0]
    await world.admission.renew(ask.request_id, WorkUnits(9))
    assert await used(world.admission, ask) == [1, 50, 1]
    assert isinstance(await world.admission.admit(ask_of(*windows)), Refused), "its place is taken"
    assert not await world.admission.sweep()
    await world.expire(ask.request_id)
    assert len(await world.admission.sweep()) == 1, "a lease like any other"
    assert await used(world.admission, ask) == [1, 9, 0]
    assert await world.admission.settle(settled(ask, 12))
    assert await used(world.admission, ask) == [1, 12, 0]


async def test_what_is_charged_once_is_not_begun_again_while_it_runs(world: World):
    first, again = (ask_of(tokens(100), units=50, once="w") for _ in range(2))
    await world.admission.admit(first)
    before = await world.contents()
    with pytest.raises(Conflict):
        await world.admission.admit(again)
    assert await world.contents() == before
    await world.admission.settle(settled(first, 0, status_code=503))
    assert isinstance(await world.admission.admit(again), Admitted), "it failed: a retry tries"


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("first_ends_first", [False, True])
async def test_who_was_thought_dead_is_not_paid_for_what_another_does_again(
    world: World, swept: bool, first_ends_first: bool
):
    first, again = (ask_of(requests(5), tokens(100), units=50, once="w") for _ in range(2))
    await world.admission.admit(first)
    await world.expire(first.request_id)
    if swept:
        await world.admission.sweep()
    assert isinstance(await world.admission.admit(again), Admitted)
    for ask in (first, again) if first_ends_first else (again, first):
        assert await world.admission.settle(settled(ask, 30, cache=REPLY))
    assert await used(world.admission, first) == [2, 30]
    assert isinstance(await world.admission.admit(ask_of(once="w")), Hit)


async def test_a_lease_nobody_renewed_gives_all_tokens_back(world: World):
    ask = ask_of(requests(5), tokens(100), units=50)
    await world.admission.admit(ask)
    await world.expire(ask.request_id)
    assert len(await world.admission.sweep()) == 1
    assert await used(world.admission, ask) == [1, 0]


async def test_a_request_is_open_from_admission_to_settlement(world: World):
    ask = ask_of(tokens(100))
    assert not await world.admission.is_open(ask.request_id)
    await world.admission.admit(ask)
    assert await world.admission.is_open(ask.request_id)
    await world.admission.settle(settled(ask))
    assert not await world.admission.is_open(ask.request_id)


async def test_renewing_what_is_over_changes_nothing(world: World):
    before = await world.contents()
    await world.admission.renew("nobody", WorkUnits(5))
    assert await world.contents() == before


async def test_a_cleared_cache_answers_no_more(world: World):
    for tenant in ("t1", "t2"):
        ask = ask_of(cache_key="k", tenant=tenant)
        await world.admission.admit(ask)
        await world.admission.settle(settled(ask, cache=REPLY))
    assert await world.admission.cache_clear("t1") == 1
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k", tenant="t2")), Hit)
    assert await world.admission.cache_clear() == 1
