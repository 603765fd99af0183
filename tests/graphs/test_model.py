"""A model's replica: who is told of calls that are cut short."""

import asyncio

import pytest

from core.model import CallContext
from graphs.model import ModelArgs, Replica

ECHO = {"messages": [{"role": "user", "content": "one two three"}], "stream": True}


class Told:
    def __init__(self):
        self.reports = []

    def report(self, request_id, units, elapsed_ms):
        self.reports.append(request_id)


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
    assert replica.orphans.reports == reports
