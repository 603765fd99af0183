"""What only the real store can show: time, memory of entries, crashes and outages."""

import asyncio
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.admission import Admitted, CachedReply, Hit, InFlight, Refused, Stale
from auth.attempts import Attempts
from auth.idempotency import Claim, IdempotencyBook
from auth.pipeline import Pipeline
from auth.plans import MONTH_S, Meter, Window
from auth.principal import Maker
from auth.valkey import CacheStats, ValkeyAdmission
from core.errors import LimitReached, StoreUnavailable
from core.work import WorkUnits
from tests.auth.servers import Valkey
from tests.auth.worlds import REPLY, ValkeyWorld, ask_of, requests, settled, tokens, used
from tests.fakes.admission import EPOCH


@pytest.fixture
async def own_world(store_directory: Path, prefix: str):
    """A world on a server of its own, that a test may kill."""
    server = Valkey(store_directory / prefix)
    server.start()
    pipeline = Pipeline(SecretStr(server.url), timeout_s=0.3)
    world = ValkeyWorld(ValkeyAdmission(pipeline, prefix), pipeline, prefix)
    await world.set_epoch("t1", EPOCH)
    yield server, world
    await pipeline.aclose()
    if server.process is not None:
        server.process.send_signal(signal.SIGCONT)
        server.kill()


OwnWorld = tuple[Valkey, ValkeyWorld]


async def next_second() -> None:
    """Sleep to just after a second begins, so that one-second windows do not turn midway."""
    await asyncio.sleep(1.02 - time.time() % 1)


async def test_a_window_opens_again_when_its_span_is_over(valkey_world: ValkeyWorld):
    await next_second()
    ask = ask_of(requests(1, 1))
    assert isinstance(await valkey_world.admission.admit(ask), Admitted)
    refused = await valkey_world.admission.admit(ask_of(requests(1, 1)))
    assert isinstance(refused, Refused)
    await asyncio.sleep(refused.blocking.reset_ms / 1000 + 0.01)
    assert await used(valkey_world.admission, ask) == [0]
    assert isinstance(await valkey_world.admission.admit(ask_of(requests(1, 1))), Admitted)


async def test_a_refund_makes_no_room_in_a_later_span_and_an_overrun_is_counted_there(
    valkey_world: ValkeyWorld,
):
    await next_second()
    windows = (tokens(100, 1), tokens(1000))
    thrifty, greedy = ask_of(*windows, units=30), ask_of(*windows, units=30)
    await valkey_world.admission.admit(thrifty)
    await valkey_world.admission.admit(greedy)
    await next_second()
    await valkey_world.admission.admit(ask_of(*windows, units=5))
    await valkey_world.admission.settle(settled(thrifty, 10))
    assert await used(valkey_world.admission, thrifty) == [5, 45]
    await valkey_world.admission.settle(settled(greedy, 37))
    assert await used(valkey_world.admission, greedy) == [12, 52]


async def test_a_lease_and_its_flight_end_by_themselves(store: Pipeline, prefix: str):
    world = ValkeyWorld(ValkeyAdmission(store, prefix, lease_s=0.1), store, prefix)
    await world.set_epoch("t1", EPOCH)
    ask = ask_of(tokens(100), cache_key="k")
    await world.admission.admit(ask)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), InFlight)
    await asyncio.sleep(0.07)
    await world.admission.renew(ask.request_id, WorkUnits(3))
    await asyncio.sleep(0.07)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), InFlight)
    await asyncio.sleep(0.11)
    assert len(await world.admission.sweep()) == 1
    assert await used(world.admission, ask) == [3]
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)


async def test_the_sweeper_ends_any_number_of_leases(store: Pipeline, prefix: str):
    world = ValkeyWorld(ValkeyAdmission(store, prefix, lease_s=0.001), store, prefix)
    await world.set_epoch("t1", EPOCH)
    await asyncio.gather(*(world.admission.admit(ask_of()) for _ in range(250)))
    await asyncio.sleep(0.01)
    assert len(await world.admission.sweep()) == 250
    assert not await world.admission.sweep()


async def test_after_an_outage_nobody_is_swept_before_it_could_renew(valkey_world: ValkeyWorld):
    admission, swept = valkey_world.admission, f"{valkey_world.prefix}:swept"
    ask = ask_of(tokens(100), units=30)
    await admission.admit(ask)
    assert not await admission.sweep()
    await valkey_world.expire(ask.request_id)
    await valkey_world.store.call("HINCRBY", swept, "at", -31_000)  # as if nothing swept since
    assert not any([await admission.sweep() for _ in range(3)])
    await admission.renew(ask.request_id, WorkUnits(7))
    await valkey_world.store.call("HINCRBY", swept, "not_before", -60_000)
    assert not await admission.sweep(), "it renewed in time"
    await valkey_world.expire(ask.request_id)
    assert len(await admission.sweep()) == 1
    assert await used(admission, ask) == [7]


async def test_a_call_that_comes_back_in_a_new_span_pays_there_for_what_was_not_guessed(
    valkey_world: ValkeyWorld,
):
    await next_second()
    ask = ask_of(tokens(100, 1), tokens(1000), units=30)
    admission = valkey_world.admission
    await admission.admit(ask)
    await admission.renew(ask.request_id, WorkUnits(10))
    await valkey_world.expire(ask.request_id)
    await admission.sweep()
    await next_second()
    await admission.renew(ask.request_id, WorkUnits(15))
    assert await used(admission, ask) == [0, 30]
    await next_second()
    await admission.settle(settled(ask, 25))
    assert await used(admission, ask) == [15, 25]


async def test_hits_misses_and_entries_are_counted(valkey_world: ValkeyWorld):
    admission = valkey_world.admission
    ask = ask_of(cache_key="k")
    await admission.admit(ask)
    await admission.settle(settled(ask, cache=REPLY))
    for number in range(3):
        await admission.admit(replace(ask, request_id=f"hit-{number}"))
    entry = f"{valkey_world.prefix}:cache:t1:k"
    assert await valkey_world.store.call("HGET", entry, "hits") == b"3"
    assert await admission.cache_stats("t1") == CacheStats(entries=1, hits=3, misses=1, stored=1)
    assert await admission.cache_stats() == await admission.cache_stats("t1")
    assert await admission.cache_stats("t2") == CacheStats(0, 0, 0, 0)


async def test_entries_end_with_their_time_to_live(store: Pipeline, prefix: str):
    world = ValkeyWorld(ValkeyAdmission(store, prefix, cache_ttl_s=0.05), store, prefix)
    await world.set_epoch("t1", EPOCH)
    ask = ask_of(cache_key="k")
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, cache=REPLY))
    await asyncio.sleep(0.06)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)


async def test_an_oversized_answer_is_not_cached(store: Pipeline, prefix: str):
    world = ValkeyWorld(ValkeyAdmission(store, prefix, cache_item_bytes=10), store, prefix)
    await world.set_epoch("t1", EPOCH)
    ask = ask_of(cache_key="k")
    await world.admission.admit(ask)
    large = CachedReply(b"x" * 11, "text/plain", WorkUnits())
    await world.admission.settle(settled(ask, cache=large))
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), Admitted)


async def test_an_answer_begun_before_the_cache_was_cleared_stays_out(valkey_world: ValkeyWorld):
    ask = ask_of(cache_key="k")
    await valkey_world.admission.admit(ask)
    await valkey_world.admission.cache_clear("t1")
    await valkey_world.admission.settle(settled(ask, cache=REPLY))
    assert isinstance(await valkey_world.admission.admit(ask_of(cache_key="k")), Admitted)


async def test_binary_bodies_come_back_as_they_were(valkey_world: ValkeyWorld):
    ask = ask_of(cache_key="k")
    reply = CachedReply(bytes(range(256)) * 50, "image/png", WorkUnits(pixel_steps=2**40))
    await valkey_world.admission.admit(ask)
    await valkey_world.admission.settle(settled(ask, cache=reply))
    verdict = await valkey_world.admission.admit(ask_of(cache_key="k"))
    assert isinstance(verdict, Hit)
    assert verdict.reply == reply


async def test_an_unknown_epoch_is_stale(valkey_world: ValkeyWorld):
    assert isinstance(await valkey_world.admission.admit(ask_of(tenant="t3")), Stale)


async def test_a_killed_server_keeps_windows_and_reservations(own_world: OwnWorld):
    server, world = own_world
    ask = ask_of(requests(9), tokens(100), units=30)
    await world.admission.admit(ask)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await world.admission.admit(ask_of())
    server.start()
    assert await used(world.admission, ask) == [1, 30]
    assert await world.admission.settle(settled(ask, 11))
    assert await used(world.admission, ask) == [1, 11]
    assert await world.events() == [("admitted", ask.request_id), ("settled", ask.request_id)]


async def test_a_restarted_server_without_scripts_is_served_at_once(own_world: OwnWorld):
    server, world = own_world
    await world.admission.admit(ask_of())
    await world.store.call("SCRIPT", "FLUSH")
    assert isinstance(await world.admission.admit(ask_of()), Admitted)
    server.kill()
    server.start()
    await asyncio.sleep(0.01)  # the event loop, blocked until here, learns of the lost connection
    verdicts = await asyncio.gather(*(world.admission.admit(ask_of()) for _ in range(20)))
    assert all(isinstance(verdict, Admitted) for verdict in verdicts)


async def test_a_frozen_server_is_unavailable_within_the_timeout(own_world: OwnWorld):
    server, world = own_world
    await world.admission.admit(ask_of())
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    outcomes = await asyncio.gather(
        *(world.admission.admit(ask_of()) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    assert time.monotonic() - began < 1.0
    server.process.send_signal(signal.SIGCONT)
    assert isinstance(await world.admission.admit(ask_of()), Admitted)


@pytest.mark.parametrize(
    "url", ["unix:///nowhere/v.sock", "redis://127.0.0.1:1/0", "redis://name.invalid:6379"]
)
async def test_no_server_is_unavailable_with_a_time_to_retry(url: str):
    admission = ValkeyAdmission(Pipeline(SecretStr(url), timeout_s=0.5))
    ask = ask_of()
    for call in (
        lambda: admission.admit(ask),
        lambda: admission.settle(settled(ask)),
        lambda: admission.renew("r", WorkUnits()),
        admission.sweep,
        lambda: admission.wait(ask, 0.1),
        lambda: admission.standing(ask.scopes),
        admission.cache_stats,
        admission.cache_clear,
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await call()
        assert caught.value.retry_after_s


async def test_a_full_server_is_unavailable_and_charges_nothing(own_world: OwnWorld):
    _, world = own_world
    before = await world.contents()
    await world.store.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable):
        await world.admission.admit(ask_of(requests(5)))
    await world.store.call("CONFIG", "SET", "maxmemory", "0")
    assert await world.contents() == before


async def test_a_full_store_forgets_answers_and_not_who_does_what(own_world: OwnWorld, hasher):
    """With the policy of the embedded server, which evicts first what ends soonest."""
    _, world = own_world
    book = IdempotencyBook(world.store, world.prefix)
    attempts = Attempts(world.store, hasher, world.prefix, limit=1)
    await book.claim("t1:k", b"f", "me")
    await attempts.begin("ada@example.org", None)
    ask = ask_of(requests(9, 60), cache_key="k")
    await world.admission.admit(ask)
    used_bytes = int(
        (await world.store.call("INFO", "memory")).split(b"used_memory:")[1].split()[0]
    )
    await world.store.call("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    await world.store.call("CONFIG", "SET", "maxmemory", used_bytes + 2**22)
    for number in range(30):
        await book.claim(f"t{number}:a", b"f", "me")
        await book.keep(f"t{number}:a", "me", b"x" * 2**19)
    assert b"evicted_keys:0" not in await world.store.call("INFO", "stats")
    assert (await book.claim("t1:k", b"f", "another")).claim is Claim.RUNNING
    with pytest.raises(LimitReached):
        await attempts.begin("ada@example.org", None)
    assert isinstance(await world.admission.admit(ask_of(cache_key="k")), InFlight)
    assert await used(world.admission, ask) == [1]


async def test_a_cancelled_call_does_not_shift_the_replies_of_others(valkey_world: ValkeyWorld):
    store, prefix = valkey_world.store, valkey_world.prefix
    calls = [asyncio.create_task(store.call("SET", f"{prefix}:{n}", n)) for n in range(10)]
    await asyncio.sleep(0)
    calls[3].cancel()
    answers = [asyncio.create_task(store.call("GET", f"{prefix}:{n}")) for n in range(10)]
    assert await asyncio.gather(*answers) == [str(n).encode() for n in range(10)]


async def test_a_url_with_a_database_and_a_password_is_honoured(own_world: OwnWorld):
    server, world = own_world
    await world.store.call("CONFIG", "SET", "requirepass", "hunter2")
    own = Pipeline(SecretStr(f"unix://:hunter2@{server.socket_path}?db=3"))
    await own.call("SET", "here", "3")
    assert b"db=3" in await own.call("CLIENT", "INFO")
    await own.aclose()
    wrong = Pipeline(SecretStr(f"unix://:wrong@{server.socket_path}"))
    with pytest.raises(StoreUnavailable):
        await wrong.call("PING")


async def test_the_connection_is_shared_and_opened_once(own_world: OwnWorld):
    _, world = own_world
    await asyncio.gather(*(world.admission.admit(ask_of()) for _ in range(50)))
    clients = await world.store.call("CLIENT", "LIST")
    assert len(clients.decode().strip().splitlines()) == 1


def test_it_works_on_uvloop_which_ray_serve_runs_on(valkey_server: Valkey):
    uvloop = pytest.importorskip("uvloop")

    async def check() -> bytes:
        pipeline = Pipeline(SecretStr(valkey_server.url))
        answers = await asyncio.gather(*(pipeline.call("ECHO", b"x" * 100_000) for _ in range(9)))
        await pipeline.aclose()
        return b"".join(answers)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(check()) == b"x" * 900_000


async def test_windows_that_are_over_are_swept_and_no_others(valkey_world: ValkeyWorld):
    admission, prefix = valkey_world.admission, valkey_world.prefix
    scopes = {
        "over": (tokens(100, 60), requests(9, 3600)),
        "month": (tokens(100, 60), requests(9, MONTH_S)),
        "running": (tokens(100, 60), Window(Meter.CONCURRENCY, 0, 9)),
    }
    for scope, windows in scopes.items():
        await admission.admit(ask_of(scopes=((scope, windows),)))
    known = [f"{prefix}:window:{scope}" for scope in scopes]
    assert sorted(await valkey_world.store.call("ZRANGE", f"{prefix}:windows", 0, -1)) == sorted(
        name.encode() for name in known
    )

    async def looked_at_after(seconds: int) -> set[str]:
        for name in known:
            await valkey_world.store.call("ZADD", f"{prefix}:windows", "XX", 1, name)
            for field in ("tokens:60", "requests:3600", f"requests:{MONTH_S}"):
                if await valkey_world.store.call("HEXISTS", name, field):
                    await valkey_world.store.call("HINCRBY", name, field, -seconds)
        await admission.sweep()
        return {n.split(":")[-1] for n in known if await valkey_world.store.call("EXISTS", n)}

    assert await looked_at_after(100) == {"over", "month", "running"}
    assert await looked_at_after(8_000) == {"month", "running"}
    assert await valkey_world.store.call("ZCARD", f"{prefix}:windows") == 2


async def test_a_makers_longer_windows_outlive_the_calls_of_its_keys(valkey_world: ValkeyWorld):
    """Both are counted in one hash; a key that a key made is not held to what plans say of each."""
    month, day = requests(100, MONTH_S), requests(100)
    await valkey_world.admission.admit(ask_of(scopes=(("key:k", (month, day)),)))
    child = ask_of(scopes=(("maker:k", (day,)),))
    made = replace(child, principal=replace(child.principal, makers=(Maker("k"),)))
    await valkey_world.admission.admit(made)
    name = f"{valkey_world.prefix}:window:key:k"
    assert await valkey_world.store.call("TTL", name) == -1
    counted = await valkey_world.admission.standing((("key:k", (month, day)),))
    assert [state.used for state in counted] == [1, 2]
