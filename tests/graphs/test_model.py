"""A model's replica: who is told of calls that are cut short."""

import asyncio

import pytest

from core.model import CallContext, Ended
from core.work import WorkUnits
from graphs.ended import EndedCalls
from graphs.model import ModelArgs, Replica

ECHO = {"messages": [{"role": "user", "content": "one two three"}], "stream": True}


class Told:
    def __init__(self):
        self.reports = []

    def report(self, request_id, orphan):
        self.reports.append((request_id, orphan))


@pytest.fixture
def replica(monkeypatch):
    replica = Replica(ModelArgs(spec="deployments.echo:SPEC"))
    monkeypatch.setattr(replica, "orphans", Told())
    return replica


@pytest.mark.parametrize(("durable", "reports"), [(False, ["r1"]), (True, [])])
async def test_jobs_settle_their_own_calls_and_replicas_those_of_others(replica, durable, reports):
    stream = replica.stream("chat", ECHO, CallContext("r1", durable=durable))
    await anext(stream)
    await stream.aclose()
    await asyncio.sleep(0)
    assert [request_id for request_id, _ in replica.orphans.reports] == reports


async def test_what_is_asked_for_again_costs_nothing_when_it_is_cut_short(replica):
    stream = replica.stream("chat", ECHO, CallContext("r1", "echo", whole_or_nothing=True))
    await anext(stream)
    await stream.aclose()
    ((request_id, orphan),) = replica.orphans.reports
    assert (request_id, orphan.units) == ("r1", WorkUnits())
    (total,) = replica.counts._totals.values()
    assert (total.calls, total.units) == (1, {})
    assert total.unbilled["output_tokens"] > 0, "the engine did it all the same"


async def test_an_answer_says_how_long_a_device_worked_for_it(replica, monkeypatch):
    chat, chat_stream = replica.model.chat, replica.model.chat_stream

    async def busy(request, call):
        call.device_s += 0.5
        return await chat(request, call)

    async def busy_stream(request, call):
        async for chunk in chat_stream(request, call):
            call.device_s += 0.25
            yield chunk

    monkeypatch.setattr(replica.model, "chat", busy)
    monkeypatch.setattr(replica.model, "chat_stream", busy_stream)
    whole = await replica.answer("chat", ECHO, CallContext("r1"))
    assert whole.device_s == 0.5
    chunks = [chunk async for chunk in replica.stream("chat", ECHO, CallContext("r2"))]
    assert chunks[-1].last
    assert chunks[-1].device_s >= 0.75


async def test_a_call_that_is_cut_short_reports_its_device_time_and_its_first_token(
    replica, monkeypatch
):
    chat_stream = replica.model.chat_stream

    async def busy_stream(request, call):
        async for chunk in chat_stream(request, call):
            call.device_s += 0.25
            yield chunk
            await asyncio.sleep(0.01)

    monkeypatch.setattr(replica.model, "chat_stream", busy_stream)
    stream = replica.stream("chat", ECHO, CallContext("r1"))
    await anext(stream)
    await stream.aclose()
    (_, orphan) = replica.orphans.reports[0]
    assert orphan.device_s >= 0.25
    assert 0 <= orphan.ttft_ms <= orphan.elapsed_ms


async def test_calls_that_ended_are_remembered_and_those_that_were_cut_short_are_not(replica):
    took = WorkUnits(input_tokens=3, output_tokens=3)
    await replica.answer("chat", ECHO, CallContext("whole"))
    [chunk async for chunk in replica.stream("chat", ECHO, CallContext("streamed"))]
    cut = replica.stream("chat", ECHO, CallContext("cut"))
    await anext(cut)
    await cut.aclose()
    ends = replica.ended(["whole", "streamed", "cut", "unknown"])
    assert set(ends) == {"whole", "streamed"}
    assert ends["whole"] == Ended(took)
    assert ends["streamed"].units == took
    assert ends["streamed"].ttft_ms is not None


def test_the_oldest_calls_are_forgotten():
    calls = EndedCalls(most=2)
    for number in range(3):
        calls.note(f"r{number}", Ended(WorkUnits(output_tokens=number)))
    assert set(calls.of(["r0", "r1", "r2"])) == {"r1", "r2"}
