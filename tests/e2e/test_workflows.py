"""Workflows on a cluster: steps of several models, every call in the ledger, kills survived."""

import asyncio
import json
import time

import pytest

from tests.e2e.people import newcomer
from tests.e2e.test_chat import settled

RUNS = "/v1/workflows/runs"


def say(name, text, model="echo", **more):
    document = {"messages": [{"role": "user", "content": text}]}
    return {"id": name, "model": model, "input": document} | more


async def begun(client, *steps, **more):
    response = await client.post(RUNS, json={"steps": list(steps)} | more)
    assert response.status_code == 200, response.text
    return response.json()


async def ended(client, run, seconds=120):
    async with asyncio.timeout(seconds):
        while run["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.2)
            run = (await client.get(f"{RUNS}/{run['id']}")).json()
    return run


async def read_events(client, run):
    async with client.stream("GET", f"{RUNS}/{run['id']}/events") as response:
        lines = [line async for line in response.aiter_lines()]
    return [json.loads(line[len("data: ") :]) for line in lines if line.startswith("data: ")]


async def test_a_run_calls_several_models_and_each_call_is_in_the_ledger(pro):
    async with pro.http() as client:
        run = await begun(
            client,
            say("words", "red green blue"),
            say("each", "${item}!", map=["${inputs.first}", "two"]),
            {
                "id": "near",
                "model": "all-minilm-l6-v2",
                "input": {"input": ["${steps.words.output.text}", "${steps.each.output[0].text}"]},
            },
            say("last", "${steps.near.output.data[1].index}", **{"if": "${inputs.first} == 'one'"}),
            inputs={"first": "one"},
            outputs={"last": "${steps.last.output.text}", "each": "${steps.each.output[1].text}"},
        )
        events = await read_events(client, run)
        run = await ended(client, run)
    assert run["status"] == "failed", "an index is a number, and no text"
    assert "messages.0.content" in run["error"]["message"]
    assert events[-1]["type"] == "workflow.run.failed"
    assert events[-1]["run"]["id"] == run["id"]
    async with pro.http() as client:
        fixed = say("last", "number ${steps.near.output.data[1].index}")
        steps = [say("words", "red green blue"), fixed | {"id": "last"}]
        near = {"input": ["${steps.words.output.text}", "x"]}
        steps.insert(1, {"id": "near", "model": "all-minilm-l6-v2", "input": near})
        run = await ended(
            client, await begun(client, *steps, outputs={"text": "${steps.last.output.text}"})
        )
    assert run["status"] == "completed", run
    assert run["outputs"] == {"text": "number 1"}
    assert run["steps"][0]["cache"] == "HIT"
    rows = await settled(pro, 9)  # seven calls, and the two runs themselves
    by_id = {row["request_id"]: row for row in rows}
    for step in run["steps"]:
        row = by_id[step["request_id"]]
        assert row["endpoint"] == RUNS
        assert json.loads(row["details"])["trace_id"] == run["id"]
    assert [row["model"] for row in rows].count("workflow") == 2


async def test_a_picture_goes_from_model_to_library(pro):
    drawing = {"prompt": "a red circle on a blue background", "size": "64x64", "seed": 3}
    async with pro.http() as client:
        run = await begun(
            client,
            {"id": "draw", "model": "starter-image", "operation": "generate", "input": drawing},
            {
                "id": "describe",
                "model": "starter-vision",
                "input": {"image": "${steps.draw.output.data[0].b64_json}"},
            },
            outputs={"picture": "${steps.draw.output.data[0].b64_json}"},
        )
        run = await ended(client, run, 240)
        assert run["status"] == "completed", run
        assert run["steps"][1]["output"]["text"]
        picture = await client.get(run["outputs"]["picture"]["url"])
        again = (await client.post(f"{RUNS}/{run['id']}/rerun", json={})).json()
        again = await ended(client, again)
    assert picture.content.startswith(b"\x89PNG")
    assert [(step["cache"], step["request_id"]) for step in again["steps"]] == [("HIT", None)] * 2
    assert again["outputs"]["picture"]["id"] == run["outputs"]["picture"]["id"]
    assert again["usage"]["requests"] <= 1, "of the run itself"
    assert float(again["usage"]["money"]) == 0


async def test_pictures_without_a_seed_differ(pro):
    drawing = {"prompt": "a ${item} circle on a blue background", "size": "64x64"}
    draw = {"id": "draw", "model": "starter-image", "operation": "generate", "input": drawing}
    async with pro.http() as client:
        run = await begun(
            client, draw | {"map": ["red", "red"]}, outputs={"all": "${steps.draw.output}"}
        )
        run = await ended(client, run, 240)
    assert run["status"] == "completed", run
    one, other = (answer["data"][0] for answer in run["outputs"]["all"])
    assert one["seed"] != other["seed"]
    assert one["b64_json"]["id"] != other["b64_json"]["id"]


async def test_a_webhook_that_nobody_takes_is_tried_again(pro):
    async with pro.http() as client:
        hook = {"url": "https://nobody.invalid/hook"}
        run = await ended(client, await begun(client, say("a", "hi"), webhook=hook))
        one = f"{RUNS}/{run['id']}"
        told = await tried(client, one, 2)
        assert (told["status"], told["error"]["code"]) == ("pending", "not_delivered")
        assert told["next_try_at"] > time.time() + 30
        again = await client.post(f"{one}/redeliver")
        assert again.status_code == 200, again.text
        assert (await tried(client, one, 3))["status"] == "pending"


async def tried(client, one, tries):
    """A run's webhook, once it has been tried so often and waits for another time."""
    async with asyncio.timeout(60):
        while True:
            told = (await client.get(one)).json()["webhook"]
            if told["tries"] >= tries and told["next_try_at"] is not None:
                return told
            await asyncio.sleep(0.5)


async def test_the_older_paths(pro):
    async with pro.http() as client:
        assert (await client.get("/services")).json()["services"]["chat"]["model"]
        parameters = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
        task = {"task_type": "chat", "parameters": parameters}
        told = (await client.post("/orchestrate", json=task)).json()
        await ended(client, {"id": told["task_id"], "status": "queued"})
        done = (await client.get(f"/task/{told['task_id']}")).json()
    assert done["status"] == "completed"
    assert done["results"][0]["result"]["text"] == "hi"


async def test_a_hundred_runs_at_once_are_each_their_tenants_alone_and_billed_once(cluster, figure):
    people = [newcomer(cluster, "enterprise") for _ in range(2)]
    began = time.perf_counter()
    done = await asyncio.gather(*(fifty_runs(person, n) for n, person in enumerate(people)))
    took_s = time.perf_counter() - began
    figure("workflows: 100 runs of two steps, two tenants, begun at once", took_s, "s")
    for person, runs in zip(people, done, strict=True):
        assert [run["status"] for run in runs] == ["completed"] * 50
        rows = await settled(person, 150)
        steps = [step for run in runs for step in run["steps"]]
        calls = {row["request_id"]: row for row in rows if row["model"] == "echo"}
        themselves = [row for row in rows if row["model"] == "workflow"]
        assert len(rows) == len(calls) + len(themselves) == 150
        assert calls.keys() == {step["request_id"] for step in steps}
        for step in steps:
            words = len(step["output"]["text"].split())
            row = calls[step["request_id"]]
            assert (row["status_code"], row["input_tokens"], row["output_tokens"]) == (
                200,
                words,
                words,
            )
        traces = [json.loads(row["details"])["trace_id"] for row in themselves]
        assert sorted(traces) == sorted(run["id"] for run in runs)


async def fifty_runs(person, tenant):
    """Runs of two steps that are begun at once, as they ended, and nobody else's beside them."""
    names = [f"t{tenant}r{number}" for number in range(50)]
    async with person.http() as client:
        begun_runs = await asyncio.gather(
            *(
                begun(client, say("one", f"{name} says"), say("two", "${steps.one.output.text} it"))
                for name in names
            )
        )
        async with asyncio.timeout(60):
            while True:
                listed = (await client.get(RUNS, params={"limit": 100})).json()["data"]
                if all(run["status"] not in ("queued", "in_progress") for run in listed):
                    break
                await asyncio.sleep(0.5)
        assert {run["id"] for run in listed} == {run["id"] for run in begun_runs}
        runs = [(await client.get(f"{RUNS}/{run['id']}")).json() for run in begun_runs]
    assert [run["steps"][1]["output"]["text"] for run in runs] == [f"{n} says it" for n in names]
    return runs


@pytest.mark.chaos
async def test_a_killed_jobs_application_repeats_no_step_that_had_ended(cluster, pro):
    steps = [say("s0", "word", "echo-slow")]
    for number in range(1, 20):
        text = f"${{steps.s{number - 1}.output.text}} w{number}"
        steps.append(say(f"s{number}", text, "echo-slow", retry={"attempts": 3}))
    async with pro.http() as client:
        run = await begun(client, *steps)
        async with asyncio.timeout(120):
            while run["progress"] < 30:
                await asyncio.sleep(0.1)
                run = (await client.get(f"{RUNS}/{run['id']}")).json()
        done = {step["id"]: step for step in run["steps"] if step["status"] == "completed"}
        cluster.kill("ServeReplica:jobs")
        run = await ended(client, run, 240)
    assert run["status"] == "completed", run
    by_id = {step["id"]: step for step in run["steps"]}
    assert all(by_id[name]["request_id"] == step["request_id"] for name, step in done.items())
    assert run["steps"][-1]["output"]["text"].split()[-1] == "w19"
    async with asyncio.timeout(60):
        billed: list[dict] = []
        while len(billed) < 20:
            await asyncio.sleep(0.5)
            rows = await pro.usage_rows()
            billed = [row for row in rows if row["input_tokens"]]
    assert {row["request_id"] for row in billed} == {step["request_id"] for step in run["steps"]}
    assert sum(row["input_tokens"] for row in rows) == sum(range(1, 21))
