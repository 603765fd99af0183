import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from auth.accounts import Tenant
from auth.admission import Settlement
from auth.database import Database
from auth.directory import Directory
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.usage import By, Usage
from auth.valkey import ValkeyAdmission
from core.errors import StoreUnavailable
from core.work import WorkUnits
from tests.auth.worlds import REPLY, ValkeyWorld, ask_of, requests, settled
from tests.fakes.admission import EPOCH

DETAILS: dict[str, str | int | bool | None] = {
    "endpoint": "/v1/chat/completions",
    "operation": "chat",
    "model": "starter-chat",
    "revision": "3",
    "streamed": True,
    "image_count": 2,
}


@pytest.fixture
async def own(valkey_world: ValkeyWorld) -> tuple[ValkeyWorld, str]:
    """A world and a tenant of this test alone: the database is shared by the session."""
    tenant = f"t-{secrets.token_hex(4)}"
    await valkey_world.set_epoch(tenant, EPOCH)
    return valkey_world, tenant


@pytest.fixture
def writer(store: Pipeline, database: Database, prefix: str) -> LedgerWriter:
    return LedgerWriter(store, database, prefix)


Own = tuple[ValkeyWorld, str]


async def rows(database: Database, tenant: str) -> list[dict[str, Any]]:
    found = await database.fetch(
        "SELECT * FROM usage_records WHERE tenant_id = $1 ORDER BY request_id", tenant
    )
    return [dict(row) for row in found]


async def row(database: Database, tenant: str) -> dict[str, Any]:
    found = await rows(database, tenant)
    assert len(found) == 1
    return found[0]


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110  # PostgreSQL has no event to wait for
            await asyncio.sleep(0.02)


async def test_a_settled_request_is_one_row_with_every_column(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    priced = DETAILS | {"prices": "7", "currency": "EUR"}
    prices = {"input_tokens": 2_000, "cached_tokens": 500, "audio_ms": 10}
    ask = ask_of(requests(9), tenant=tenant, cache_key="k", details=priced, prices=prices)
    ask = replace(ask, principal=replace(ask.principal, user_id="ada"))
    await world.admission.admit(ask)
    units = WorkUnits(100, 40, 30, 20, audio_ms=1500)
    settlement = Settlement(
        ask.request_id, units, response_time_ms=321, ttft_ms=45, device_s=0.1234567, cache=REPLY
    )
    await world.admission.settle(settlement)
    assert await writer.drain() == 2
    found = await row(database, tenant)
    admitted_at, settled_at = found.pop("admitted_at"), found.pop("settled_at")
    assert datetime.now(UTC) - timedelta(minutes=1) < admitted_at <= settled_at
    assert found == {
        "request_id": ask.request_id,
        "tenant_id": tenant,
        "api_key_id": f"key-of-{tenant}",
        "user_id": "ada",
        "status": "settled",
        "endpoint": "/v1/chat/completions",
        "operation": "chat",
        "model": "starter-chat",
        "revision": "3",
        "streamed": True,
        "cache": "miss",
        "status_code": 200,
        "error_code": None,
        "error_message": None,
        "response_time_ms": 321,
        "ttft_ms": 45,
        "device_seconds": 0.123457,
        "exact": True,
        "input_tokens": 100,
        "cached_tokens": 40,
        "output_tokens": 30,
        "reasoning_tokens": 20,
        "total_tokens": 130,
        "other_units": '{"audio_ms": 1500}',
        # 60 at 2 nano, 40 at half a nano and 1500 at a hundredth
        "money": Decimal("0.000000155"),
        "currency": "EUR",
        "prices": "7",
        "details": '{"image_count": 2}',
    }


async def test_a_row_that_was_written_at_admission_gets_everything_at_settlement(
    own: Own, writer: LedgerWriter, database: Database
):
    """A request that runs longer than a batch waits is written twice."""
    world, tenant = own
    ask = ask_of(tenant=tenant, details=DETAILS, prices={"input_tokens": 2_000})
    await world.admission.admit(ask)
    await writer.drain()
    assert (await row(database, tenant))["money"] == 0
    await world.admission.settle(
        Settlement(ask.request_id, WorkUnits(100), ttft_ms=7, device_s=1.5)
    )
    await writer.drain()
    found = await row(database, tenant)
    assert (found["money"], found["input_tokens"]) == (Decimal("0.0000002"), 100)
    assert (found["ttft_ms"], found["device_seconds"]) == (7, 1.5)


async def test_a_request_that_never_settled_has_a_row_that_says_so(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    await world.admission.admit(ask_of(tenant=tenant))
    await writer.drain()
    found = await row(database, tenant)
    assert found["status"] == "admitted"
    assert found["settled_at"] is None
    assert found["exact"] is None


async def test_an_admitted_row_becomes_settled(own: Own, writer: LedgerWriter, database: Database):
    world, tenant = own
    ask = ask_of(tenant=tenant)
    await world.admission.admit(ask)
    await writer.drain()
    await world.admission.settle(settled(ask, 4, status_code=503, error_code="unavailable"))
    await writer.drain()
    found = await row(database, tenant)
    assert (found["status"], found["status_code"]) == ("settled", 503)
    assert (found["error_code"], found["input_tokens"]) == ("unavailable", 4)


async def test_an_abandoned_request_is_billed_what_it_told_last_and_marked_inexact(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    ask = ask_of(tenant=tenant, units=50)
    await world.admission.admit(ask)
    await world.admission.renew(ask.request_id, WorkUnits(5, 0, 7, rows=2))
    await world.expire(ask.request_id)
    await world.admission.sweep()
    await writer.drain()
    found = await row(database, tenant)
    assert (found["status"], found["exact"], found["status_code"]) == ("abandoned", False, None)
    assert (found["input_tokens"], found["output_tokens"]) == (5, 7)
    assert found["other_units"] == '{"rows": 2}'


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_told_after_an_abandonment_replaces_the_guess_in_row_and_totals(
    own: Own, writer: LedgerWriter, database: Database, at_once: bool
):
    world, tenant = own
    ask = ask_of(tenant=tenant, units=50, details=DETAILS, prices={"input_tokens": 2_000})
    await world.admission.admit(ask)
    for units in (WorkUnits(5, 0, 7, rows=2), WorkUnits(6, 0, 9, rows=3)):
        await world.admission.renew(ask.request_id, units)
        await world.expire(ask.request_id)
        await world.admission.sweep()
        if not at_once:
            await writer.drain()
    events = await stream(world)
    if not at_once:
        found = await row(database, tenant)
        assert (found["status"], found["output_tokens"]) == ("abandoned", 9)
    settlement = Settlement(ask.request_id, WorkUnits(100, rows=1), device_s=1.5)
    assert await world.admission.settle(settlement)
    await writer.drain()
    for event in events:  # the same once more changes nothing
        await world.store.call("XADD", f"{world.prefix}:usage", "*", *event)
    await writer.drain()
    found = await row(database, tenant)
    assert (found["status"], found["status_code"], found["exact"]) == ("settled", 200, True)
    assert (found["input_tokens"], found["output_tokens"]) == (100, 0)
    assert (found["other_units"], found["money"]) == ('{"rows": 1}', Decimal("0.0000002"))
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    totals = (await Usage(database).summary(tenant, now - hour, now + hour)).totals
    assert (totals.requests, totals.errors, totals.device_seconds) == (1, 0, 1.5)
    assert (totals.input_tokens, totals.output_tokens, totals.rows) == (100, 0, 1)
    assert totals.money == Decimal("0.0000002")


async def test_a_cache_hit_is_a_row_without_units(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    first = ask_of(tenant=tenant, cache_key="k")
    await world.admission.admit(first)
    await world.admission.settle(settled(first, cache=REPLY))
    await writer.drain()
    hit = ask_of(tenant=tenant, cache_key="k")
    await world.admission.admit(hit)
    await writer.drain()
    found = {one["request_id"]: one for one in await rows(database, tenant)}[hit.request_id]
    assert (found["cache"], found["status"], found["total_tokens"]) == ("hit", "settled", 0)


async def stream(world: ValkeyWorld) -> list[list[bytes]]:
    entries = await world.store.call("XRANGE", f"{world.prefix}:usage", "-", "+")
    return [values for _, values in entries]


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 0, 1, 1], [1, 0, 1, 0]])
async def test_events_replayed_in_any_order_make_the_same_row(
    own: Own, writer: LedgerWriter, database: Database, order: list[int]
):
    world, tenant = own
    ask = ask_of(tenant=tenant)
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 7))
    events = await stream(world)
    await writer.drain()
    expected = await row(database, tenant)
    for position in order:
        await world.store.call("XADD", f"{world.prefix}:usage", "*", *events[position])
        await writer.drain()
    assert await row(database, tenant) == expected
    await database.execute("DELETE FROM usage_records WHERE tenant_id = $1", tenant)
    for position in order:
        await world.store.call("XADD", f"{world.prefix}:usage", "*", *events[position])
    await writer.drain()
    assert await row(database, tenant) == expected


async def test_events_leave_the_stream_when_they_are_rows(own: Own, writer: LedgerWriter):
    world, tenant = own
    assert (await writer.lag()).events == 0
    await asyncio.gather(*(world.admission.admit(ask_of(tenant=tenant)) for _ in range(600)))
    lag = await writer.lag()
    assert lag.events == 600
    assert 0 <= lag.oldest_age_s < 60
    assert [await writer.drain() for _ in range(3)] == [500, 100, 0]
    assert (await writer.lag()).events == 0


class DiesAfterInserting(Pipeline):
    """A connection that is cut the moment the writer would acknowledge."""

    async def send(self, *arguments: Any) -> Any:
        if arguments[0] == "XACK":
            raise StoreUnavailable("cut")
        return await super().send(*arguments)


async def test_a_writer_killed_between_insert_and_acknowledgement_loses_and_doubles_nothing(
    own: Own, database: Database, store: Pipeline, prefix: str, valkey_server
):
    world, tenant = own
    asks = [ask_of(tenant=tenant) for _ in range(20)]
    for ask in asks:
        await world.admission.admit(ask)
        await world.admission.settle(settled(ask, 3))
    doomed = DiesAfterInserting(SecretStr(valkey_server.url))
    with pytest.raises(StoreUnavailable):
        await LedgerWriter(doomed, database, prefix).drain()
    await doomed.aclose()
    assert len(await rows(database, tenant)) == 20
    successor = LedgerWriter(store, database, prefix)
    await successor.drain()
    assert (await successor.lag()).events == 0
    found = await rows(database, tenant)
    assert len(found) == 20
    assert sum(one["input_tokens"] for one in found) == 60


async def test_an_outage_of_postgresql_leaves_events_in_the_stream(
    own: Own, database: Database, store: Pipeline, prefix: str
):
    world, tenant = own
    nowhere = Database(SecretStr("postgresql://postgres@/x?host=/nowhere"), timeout_s=0.2)
    cut_off = LedgerWriter(store, nowhere, prefix, poll_s=0.01)
    running = asyncio.create_task(cut_off.run())
    await world.admission.admit(ask_of(tenant=tenant))
    await asyncio.sleep(0.1)
    assert (await cut_off.lag()).events == 1
    cut_off.stop()
    await running
    await LedgerWriter(store, database, prefix).drain()
    assert len(await rows(database, tenant)) == 1


async def test_running_it_sweeps_drains_and_stops(database: Database, store: Pipeline, prefix: str):
    tenant = f"t-{secrets.token_hex(4)}"
    admission = ValkeyAdmission(store, prefix, lease_s=0.05)
    world = ValkeyWorld(admission, store, prefix)
    await world.set_epoch(tenant, EPOCH)
    writer = LedgerWriter(
        store, database, prefix, chores=[admission.sweep], chore_interval_s=0.02, poll_s=0.01
    )
    running = asyncio.create_task(writer.run())
    await admission.admit(ask_of(tenant=tenant))

    async def is_abandoned() -> bool:
        return [one["status"] for one in await rows(database, tenant)] == ["abandoned"]

    await eventually(is_abandoned)
    await admission.admit(ask_of(tenant=tenant))
    writer.stop()
    await running
    assert len(await rows(database, tenant)) == 2


async def test_an_event_postgresql_cannot_take_is_set_aside_and_holds_up_nobody(
    own: Own, writer: LedgerWriter, database: Database, store: Pipeline, prefix: str
):
    world, tenant = own
    await world.admission.admit(ask_of(tenant=tenant))
    await world.admission.admit(ask_of(tenant=tenant, details={"model": "nul\x00"}))
    await store.call("XADD", f"{prefix}:usage", "*", "event", "nonsense")
    await world.admission.admit(ask_of(tenant=tenant))
    await writer.drain()
    assert len(await rows(database, tenant)) == 2
    lag = await writer.lag()
    assert (lag.events, lag.rejected) == (0, 2)


async def test_an_error_that_quotes_a_nul_is_a_row_like_any_other(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    ask = ask_of(tenant=tenant, units=50)
    await world.admission.admit(ask)
    said = "this model has no lora '\x00\ud800\n'"
    await world.admission.settle(settled(ask, 4, status_code=400, error_message=said))
    await writer.drain()
    found = await row(database, tenant)
    assert (found["status"], found["input_tokens"]) == ("settled", 4)
    assert found["error_message"] == "this model has no lora '   '"
    assert (await writer.lag()).rejected == 0


async def test_a_row_whose_text_postgresql_cannot_take_is_written_without_it(
    own: Own, writer: LedgerWriter, database: Database
):
    world, tenant = own
    ask = ask_of(tenant=tenant, details=DETAILS | {"trace_id": "nul\x00"})
    await world.admission.admit(ask)
    await world.admission.settle(settled(ask, 4))
    await writer.drain()
    found = await row(database, tenant)
    assert (found["status"], found["input_tokens"]) == ("settled", 4)
    assert (found["model"], found["details"]) == ("starter-chat", "{}")
    assert (await writer.lag()).rejected == 0


async def test_what_is_set_aside_is_bounded(
    writer: LedgerWriter, store: Pipeline, prefix: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("auth.ledger.MOST_REJECTED", 100)
    for _ in range(3_000):
        await store.call("XADD", f"{prefix}:usage", "*", "event", "nonsense")
    while await writer.drain():
        pass
    assert (await writer.lag()).rejected < 1_000


async def test_a_lost_stream_is_made_again(own: Own, writer: LedgerWriter, database: Database):
    world, tenant = own
    await writer.drain()
    await world.store.call("DEL", f"{world.prefix}:usage")
    await world.admission.admit(ask_of(tenant=tenant))
    running = asyncio.create_task(writer.run())

    async def has_row() -> bool:
        return len(await rows(database, tenant)) == 1

    await eventually(has_row)
    writer.stop()
    await running


async def test_keys_learn_when_they_were_last_used(
    own: Own, writer: LedgerWriter, directory: Directory, tenant: Tenant, key: str
):
    world, _ = own
    await world.set_epoch(tenant.id, EPOCH)
    ask = ask_of(tenant=tenant.id)
    await world.admission.admit(
        replace(ask, principal=replace(ask.principal, key_id=key.split("-")[1]))
    )
    await writer.drain()
    used_at = (await directory.keys.list(tenant.id)).items[0].last_used_at
    assert used_at is not None
    assert datetime.now(UTC) - used_at < timedelta(minutes=1)


async def test_usage_adds_up(own: Own, writer: LedgerWriter, database: Database):
    world, tenant = own
    for number, model in enumerate(["echo", "echo", "fraud"]):
        ask = ask_of(tenant=tenant, cache_key="k" * (number + 1), details={"model": model})
        await world.admission.admit(ask)
        status = 500 if model == "fraud" else 200
        units = WorkUnits(10, 4, 2, 1)
        settlement = Settlement(
            ask.request_id, units, status, response_time_ms=100, device_s=0.25, cache=REPLY
        )
        await world.admission.settle(settlement)
    await world.admission.admit(ask_of(tenant=tenant, cache_key="k", details={"model": "echo"}))
    await writer.drain()
    now = datetime.now(UTC)
    since, until = now - timedelta(hours=1), now + timedelta(hours=1)
    usage = Usage(database)
    summary = await usage.summary(tenant, since, until)
    assert (summary.totals.requests, summary.totals.cached, summary.totals.errors) == (4, 1, 1)
    assert (summary.totals.input_tokens, summary.totals.total_tokens) == (30, 36)
    assert (summary.totals.cached_tokens, summary.totals.reasoning_tokens) == (12, 3)
    assert summary.totals.mean_response_time_ms == 100
    assert summary.totals.device_seconds == 0.75, "a cached answer takes none"
    assert {name: t.requests for name, t in summary.by[By.MODEL].items()} == {"echo": 3, "fraud": 1}
    days = await usage.daily(tenant, since, until)
    assert sum(day.totals.requests for day in days) == 4
    by_model = await usage.daily(tenant, since, until, By.MODEL, "Asia/Tokyo")
    assert sorted((day.name, day.totals.requests) for day in by_model) == [
        ("echo", 3),
        ("fraud", 1),
    ]
    assert {name: t.requests for name, t in summary.by[By.KEY].items()} == {f"key-of-{tenant}": 4}
    assert [record["model"] async for record in usage.records(tenant, since, until)] == [
        *("echo", "echo", "fraud", "echo")
    ]
    assert [record async for record in usage.records("nobody", since, until)] == []
    everything = await usage.everything(since, until)
    assert everything.by_tenant[tenant] == summary.totals
    assert everything.totals.requests >= 4
    empty = await usage.summary(tenant, since - timedelta(days=9), since - timedelta(days=8))
    assert (empty.totals.requests, empty.totals.input_tokens, empty.by[By.MODEL]) == (0, 0, {})
