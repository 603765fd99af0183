"""What a replica says its engine did, whatever became of the call."""

import asyncio
from datetime import date

import pytest
import ray
from ray.serve.exceptions import RayServeException

from core.errors import ModelUnavailable
from core.model import CallContext
from core.work import WorkUnits
from graphs import engine_counts
from graphs.engine_counts import EngineCounts
from graphs.model import ModelArgs, Replica
from tests.graphs.test_model import ECHO, Told

UNITS = WorkUnits(input_tokens=3, output_tokens=2)


class Heard:
    """The ledger's end."""

    def __init__(self) -> None:
        self.latest: dict[tuple[str, date], dict] = {}
        self.reports = 0
        self.failures = 0
        self.today = date(2026, 11, 21)
        self.counts = EngineCounts(self.hear, lambda: self.today, gather_s=0.01)

    async def hear(self, replica: str, counts: list[dict]) -> None:
        self.reports += 1
        if self.failures:
            self.failures -= 1
            raise RayServeException("the ledger is away")
        for count in counts:
            self.latest[count["model"], count["day"]] = count

    async def of(self, model: str = "m") -> dict:
        async with asyncio.timeout(5):
            if self.counts._telling is not None:
                await self.counts._telling
        return self.latest[model, self.today]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def replica(monkeypatch, heard: Heard):
    replica = Replica(ModelArgs(spec="deployments.echo:SPEC"))
    monkeypatch.setattr(replica, "orphans", Told())
    monkeypatch.setattr(replica, "counts", heard.counts)
    return replica


def call(**more) -> CallContext:
    return CallContext("r1", "m", **more)


async def test_totals_are_reported_soon_and_many_calls_in_one_report(heard: Heard):
    for _ in range(5):
        heard.counts.count(call(device_s=0.5), UNITS)
    total = await heard.of()
    assert (total["calls"], total["units"], total["unbilled"]) == (
        5,
        {"input_tokens": 15, "output_tokens": 10},
        {},
    )
    assert total["device_seconds"] == 2.5
    assert heard.reports == 1


async def test_nothing_is_lost_while_the_ledger_is_away(heard: Heard):
    heard.failures = 2
    heard.counts.count(call(), UNITS)
    assert (await heard.of())["units"]["output_tokens"] == 2
    assert heard.reports == 3


async def test_each_day_has_its_own_total(heard: Heard):
    heard.counts.count(call(), UNITS)
    await heard.of()
    heard.today = date(2026, 11, 22)
    heard.counts.count(call(), UNITS)
    assert (await heard.of())["calls"] == 1


async def test_calls_by_handle_have_no_row_and_are_not_counted(heard: Heard):
    heard.counts.count(CallContext("handle-1"), UNITS)
    await asyncio.sleep(0.05)
    assert heard.reports == 0


async def test_whole_answers_and_streams_are_counted(replica, heard: Heard):
    reply = await replica.answer("chat", ECHO, call())
    chunks = [chunk async for chunk in replica.stream("chat", ECHO, call())]
    total = await heard.of()
    assert total["calls"] == 2
    assert total["units"] == (reply.units + chunks[-1].units).nonzero()


async def test_a_stream_that_is_cut_short_counts_what_the_ledger_is_told(replica, heard: Heard):
    stream = replica.stream("chat", ECHO, call())
    await anext(stream)
    await stream.aclose()
    total = await heard.of()
    (_, orphan) = replica.orphans.reports[0]
    assert total["units"] == orphan.units.nonzero()


async def test_lost_work_of_a_job_is_owed_by_nobody(replica, heard: Heard):
    stream = replica.stream("chat", ECHO, call(durable=True))
    await anext(stream)
    await stream.aclose()
    total = await heard.of()
    assert (total["units"], bool(total["unbilled"])) == ({}, True)


async def test_a_failure_counts_what_was_delivered_and_what_was_not(
    replica, heard: Heard, monkeypatch
):
    chat_stream = replica.model.chat_stream

    async def failing_stream(request, call):
        async for chunk in chat_stream(request, call):
            yield chunk
            await asyncio.sleep(0.05)
            call.done = chunk.units + WorkUnits(output_tokens=4)
            raise ModelUnavailable("the engine stopped")

    async def failing(request, call):
        call.done = UNITS
        raise ModelUnavailable("the engine stopped")

    monkeypatch.setattr(replica.model, "chat_stream", failing_stream)
    monkeypatch.setattr(replica.model, "chat", failing)
    delivered = []
    stream = replica.stream("chat", ECHO, call())
    delivered.append(await anext(stream))
    with pytest.raises(ModelUnavailable):
        await anext(stream)
    total = await heard.of()
    assert total["units"] == delivered[-1].units.nonzero()
    assert total["unbilled"] == {"output_tokens": 4}
    with pytest.raises(ModelUnavailable):
        await replica.answer("chat", ECHO, call())
    assert (await heard.of())["unbilled"] == {"input_tokens": 3, "output_tokens": 6}


async def test_without_a_cluster_none_is_started_to_be_told():
    await engine_counts._tell_ledger("replica", [{"model": "m"}])
    assert not ray.is_initialized()
