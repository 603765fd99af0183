"""`kill -9` of everything that can be killed, at every step of a request's path.

`make chaos`. The points are enumerated in `tests/e2e/faults.py`. After each: no row lost, none
doubled, windows equal to the ledger, nothing reserved; while it lasts 503, never 401 or 404.
"""

import asyncio
import contextlib
import time

import pytest

from tests.e2e.books import balance
from tests.e2e.calls import Caller
from tests.e2e.cluster import GATEWAYS, LEASE_S
from tests.e2e.faults import BRING_ABOUT, POINTS, Scene, Step, Victim
from tests.e2e.people import newcomer
from tests.e2e.test_batches import begun, ended, line, submitted

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
STORE_BACK_S = 10
REPLICA_BACK_S = 180
FREE_S = LEASE_S + 10
"""The lease, the sweeper's round, and the seconds that a replica has to report what was cut."""
PROBE_WORDS = 3
"""Fewer than any other call has, so that rows of probes are known by it."""
PROBE_S = 5
"""Ray's fallback proxy may keep a request for ever when the gateway that it chose is gone."""
FRESH = {"cache-control": "no-store"}


@pytest.mark.parametrize(("step", "victim"), POINTS, ids=lambda value: value.value)
async def test_nothing_is_lost_doubled_or_kept(cluster, counted, store, figure, step, victim):
    scene = Scene(cluster, counted, store, workload(counted))
    await BRING_ABOUT[step](scene, victim)
    back_s = await back(counted, victim)
    callers = [caller for caller in scene.callers if caller.was_begun]
    await asyncio.gather(*(caller.ended() for caller in callers))
    rows, balanced_s = await balance(counted, store, REPLICA_BACK_S, unpaid(callers))

    assert {caller.status for caller in callers} <= allowed(victim), callers
    for caller in callers:
        mine = [row for row in rows if row["input_tokens"] == caller.words]
        assert len(mine) <= 1, mine
        if caller.whole:
            assert mine, caller
            assert (mine[0]["status"], mine[0]["status_code"]) == ("settled", 200)
            assert mine[0]["output_tokens"] == caller.words
        elif mine:
            assert caller.pieces <= mine[0]["output_tokens"] <= caller.words
    if step is Step.DRAIN:
        assert all(caller.whole for caller in callers)
    if victim.is_store:
        assert back_s < STORE_BACK_S
    figure(f"until served again: {victim} killed at {step}", back_s, "s")
    figure(f"until the books balance: {victim} killed at {step}", balanced_s, "s")


@pytest.mark.parametrize("victim", [Victim.GATEWAY, Victim.VALKEY, Victim.MODEL])
@pytest.mark.parametrize("step", [Step.STREAM, Step.SETTLE])
async def test_a_retry_with_an_idempotency_key_is_charged_once(
    cluster, counted, store, step, victim
):
    keys = [{"idempotency-key": f"{step}-{n}"} for n in range(3)]
    callers = [Caller(counted, 100 + n, streamed=True, headers=keys[n]) for n in range(3)]
    await BRING_ABOUT[step](Scene(cluster, counted, store, callers), victim)
    await asyncio.gather(*(caller.ended() for caller in callers))
    await back(counted, victim)
    for first in callers:
        again = [await until_answered(counted, first) for _ in range(2)]
        assert all(retry.pieces == first.words for retry in again), again
    rows, _ = await balance(counted, store)
    paid = [row["output_tokens"] for row in rows if row["input_tokens"] != PROBE_WORDS]
    assert sorted(filter(None, paid)) == [caller.words for caller in callers], rows


@pytest.mark.parametrize("victim", [Victim.GATEWAY, Victim.MODEL, Victim.VALKEY])
async def test_places_of_a_concurrency_window_outlive_no_lease(cluster, store, figure, victim):
    person = newcomer(cluster, "enterprise", {"concurrency": 4})
    streams = [Caller(person, 100 + n, streamed=True) for n in range(4)]
    await BRING_ABOUT[Step.STREAM](Scene(cluster, person, store, streams), victim)
    freed_s = await store.until_free(person.tenant_id, FREE_S)
    figure(f"until places are free: {victim} killed in streams", freed_s, "s")
    await asyncio.gather(*(caller.ended() for caller in streams))
    await back(person, victim)
    four = [Caller(person, 20 + n, streamed=True) for n in range(4)]
    await asyncio.gather(*(caller.call() for caller in four))
    assert all(caller.whole for caller in four), four


@pytest.mark.parametrize("victim", list(Victim), ids=lambda value: value.value)
async def test_each_line_of_a_batch_is_made_and_charged_once(cluster, counted, store, victim):
    words = range(30, 94)  # two pieces of 32: the second is under way when the first is done
    lines = [line(n, " ".join(["word"] * n), model="echo-slow") for n in words]
    async with counted.openai() as client:
        batch = await submitted(client, lines)
        await begun(client, batch)
        cluster.kill_processes(victim)
        await back(counted, victim)
        batch = await ended(client, batch, REPLICA_BACK_S)
    counts = batch.request_counts
    assert (batch.status, counts.completed, counts.failed) == ("completed", len(words), 0)
    rows, _ = await balance(counted, store, REPLICA_BACK_S)
    for count in words:
        charged = [row for row in rows if row["output_tokens"] == count]
        assert len(charged) == 1, charged


def workload(person):
    """Six streams that last about two seconds, and six whole answers: no two of one length."""
    streams = [Caller(person, 100 + n, streamed=True) for n in range(6)]
    return streams + [Caller(person, 10 + n) for n in range(6)]


def unpaid(callers):
    """Streams whose rows say less than their callers heard: at first the sweeper only guesses."""

    def wrong(rows):
        taken = {row["input_tokens"]: row["output_tokens"] for row in rows}
        heard = {caller.words: caller.pieces for caller in callers if caller.streamed}
        return [
            f"of {n} words heard {heard[n]}, paid {taken[n]}"
            for n in heard
            if taken.get(n, heard[n]) < heard[n]
        ]

    return wrong


def allowed(victim):
    """What callers may see. Ray's proxies answer, or hang up, for gateways that are all gone."""
    return {200, 503} | ({None, 500, 502, 504} if victim is Victim.GATEWAY else set())


async def back(person, victim):
    """Seconds until requests are served; returns when every gateway serves them again."""
    started = time.monotonic()
    limit_s = STORE_BACK_S if victim.is_store else REPLICA_BACK_S
    await until_served(person, victim, None, limit_s)
    back_s = time.monotonic() - started
    for url in await all_gateways(person.cluster):
        await until_served(person, victim, url, REPLICA_BACK_S)
    return back_s


async def until_served(person, victim, url, limit_s):
    """Until a call is answered, by one gateway or by any."""
    started = time.monotonic()
    while True:
        streamed = victim is Victim.MODEL
        probe = Caller(person, PROBE_WORDS, streamed=streamed, headers=FRESH, at=url)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(probe.call(), PROBE_S if victim is Victim.GATEWAY else None)
        if probe.whole and (victim is not Victim.POSTGRES or await reads(person)):
            return
        assert probe.status in allowed(victim), probe
        assert time.monotonic() - started < 2 * limit_s, probe
        await asyncio.sleep(0.1)


async def all_gateways(cluster):
    """Where they listen, once the last of them is back."""
    for _ in range(2 * REPLICA_BACK_S):
        if len(urls := cluster.gateway_urls()) == GATEWAYS:
            return urls
        await asyncio.sleep(0.5)
    raise AssertionError("a gateway replica never came back")


async def reads(person):
    """Whether PostgreSQL is back: calls with a key that gateways remember do not need it."""
    async with person.http() as client:
        status = (await client.get("/v1/usage")).status_code
    assert status in (200, 503)
    return status == 200


async def until_answered(person, first):
    """The same call again. The claim of a gateway that was killed runs out with its lease."""
    async with asyncio.timeout(REPLICA_BACK_S):
        while True:
            retry = Caller(person, first.words, streamed=True, headers=first.headers)
            await retry.call()
            if retry.whole:
                return retry
            assert retry.status in allowed(Victim.GATEWAY) | {409}, retry
            await asyncio.sleep(0.3)
