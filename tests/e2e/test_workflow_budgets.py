"""Workflows on a cluster: what a run needs is held for it, and what cannot be run is refused."""

import pytest

from tests.e2e.people import newcomer
from tests.e2e.test_workflows import RUNS, begun, ended, say


@pytest.fixture
def modest(cluster):
    """Ten requests a day."""
    return newcomer(cluster, "pro", {"requests": {"day": 10}})


async def ask(client):
    document = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    return await client.post("/v1/chat/completions", json=document)


async def test_a_run_holds_its_budget_until_it_has_ended(modest):
    async with modest.http() as client:
        words = " ".join(["word"] * 40)
        slow = say("slow", words, "echo-slow")
        later = say("each", "${item} ${steps.slow.output.text}", map=["a", "b", "c", "d", "e"])
        never = say("never", "x", after=["slow"], **{"if": "1 == 2"})
        run = await begun(client, slow, later, never)
        # One for the run, seven that are held: two are left.
        statuses = [(await ask(client)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = await client.post(RUNS, json={"steps": [say("a", "x")]})
        assert refused.json()["error"]["code"] == "insufficient_quota"
        run = await ended(client, run)
        assert run["status"] == "completed", run
        # The step that never ran took nothing.
        statuses = [(await ask(client)).status_code for _ in range(2)]
        assert statuses == [200, 429]


async def test_runs_that_ended_are_listed_without_what_is_large(pro):
    async with pro.http() as client:
        run = await begun(client, say("a", "${inputs.x}"), inputs={"x": "y" * 1000})
        await ended(client, run)
        (listed,) = (await client.get(RUNS)).json()["data"]
        assert listed["id"] == run["id"]
        assert "inputs" not in listed
        bad = await client.post(RUNS, json={"steps": [say("a", "x")], "inputs": {"x": "\0"}})
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, "inputs.x")
        deleted = await client.delete(f"{RUNS}/{run['id']}")
        assert deleted.status_code == 200
