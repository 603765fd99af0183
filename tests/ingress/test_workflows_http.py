"""Workflows over HTTP: what is refused and with which place, budgets, cancel, resume, events."""

import asyncio
import json
import secrets

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.limits import Limits
from core.errors import BudgetSpent, InvalidRequest
from ingress.exchange import call_of
from tests.ingress.workflow_world import (
    BEEP,
    CATALOG,
    PICTURE,
    PLANS,
    RUNS,
    WorkflowWorld,
    begun,
    by_id,
    ended,
    ran,
    say,
    until,
)

pytestmark = pytest.mark.timeout(120)
CHECK = "/v1/workflows"
NEVER = "0" * 64
CONTENT = "steps.0.input.messages.0.content"


@pytest.fixture
async def world(database_url, tmp_path):
    world = WorkflowWorld(Database(SecretStr(database_url)), tmp_path / "media")
    yield world
    await world.close()


@pytest.fixture
async def key(world):
    return await world.tenant()


@pytest.fixture
async def client(world, key):
    async with world.http(key) as client:
        yield client


def error_of(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"], error["message"]


async def stored(world, key):
    rows = await world.database.fetch("SELECT * FROM jobs WHERE tenant_id = $1", key)
    return len(rows)


def echo(name, document, **more):
    return {"id": name, "model": "echo", "input": document} | more


HELLO = {"messages": [{"role": "user", "content": "hello"}]}


async def test_a_workflow_is_checked_drawn_and_estimated_without_being_run(world, key, client):
    document = {
        "name": "two",
        "steps": [
            say("b", "${steps.a.output.text} again"),
            say("a", "hello there"),
            say("each", "${item}", map="${steps.a.output.list}", max_items=3),
        ],
    }
    plan = (await client.post(CHECK, json=document)).json()
    assert plan["order"].index("a") < plan["order"].index("b")
    assert plan["estimate"]["calls"] == 5
    assert plan["estimate"]["is_complete"] is True
    steps = plan["estimate"]["steps"]
    assert steps["a"]["units"]["output_tokens"] == 50
    # What another step will say is taken to be as long as it may be.
    assert steps["b"]["units"]["input_tokens"] >= 50
    assert steps["each"]["units"]["output_tokens"] == 150
    assert plan["estimate"]["money"] > 0
    assert plan["mermaid"].startswith("flowchart TD")
    assert await stored(world, key) == 0
    assert not world.models.calls


def hear(name, file, **more):
    step = {"id": name, "model": "starter-transcribe", "operation": "transcribe"}
    return step | {"input": {"file": file}} | more


async def test_what_a_recording_takes_is_known_where_it_is_there_already(world, client):
    sound = (await client.post("/v1/media", files={"file": ("a.wav", BEEP)})).json()
    there = f"${{media.{sound['id']}}}"
    speak = {"id": "speak", "model": "starter-speech", "input": {"input": "hello"}}
    to_come = hear("to_come", "${steps.speak.output.media}")
    plan = (await client.post(CHECK, json={"steps": [hear("there", there), speak]})).json()
    assert plan["estimate"]["is_complete"] is True
    assert plan["estimate"]["steps"]["there"]["units"] == {"audio_ms": 1001}
    plan = (await client.post(CHECK, json={"steps": [speak, to_come]})).json()
    assert plan["estimate"]["is_complete"] is False
    assert plan["estimate"]["steps"]["to_come"]["units"] is None
    async with world.http(await world.tenant()) as other:
        refused = await other.post(CHECK, json={"steps": [hear("there", there)]})
    assert refused.json()["error"]["param"] == "steps.0.input.file"


async def test_a_step_runs_for_each_of_several_files_of_the_library(client):
    files = [
        (await client.post("/v1/media", files={"file": ("a", data)})).json()
        for data in (BEEP, PICTURE)
    ]
    media = [f"${{media.{file['id']}}}" for file in files]
    run = await ran(client, hear("each", "${item}", map=media))
    assert run["status"] == "completed", run["error"]
    heard = [item["output"]["text"] for item in by_id(run)["each"]["items"]]
    assert heard == [f"{len(BEEP)} bytes", f"{len(PICTURE)} bytes"]


async def test_yaml_means_the_same_as_json(world, client):
    text = """
    name: greeting
    inputs: {who: bells}
    steps:
      - id: hello
        model: echo
        input:
          messages:
            - {role: user, content: "hello ${inputs.who}"}
    outputs: {text: "${steps.hello.output.text}"}
    """
    response = await client.post(RUNS, content=text, headers={"content-type": "application/yaml"})
    assert response.status_code == 200, response.text
    assert (await ended(client, response.json()))["outputs"] == {"text": "hello bells"}
    bomb = "a: &a [x,x]\nsteps: [*a, *a]"
    response = await client.post(RUNS, content=bomb, headers={"content-type": "text/yaml"})
    assert error_of(response)[:2] == (400, "malformed_body")


@pytest.mark.parametrize(
    ("steps", "status", "code", "param"),
    [
        ([], 400, "invalid_request", "steps"),
        ([say(f"s{n}", "x") for n in range(10_000)], 400, "invalid_request", "steps"),
        ([say("a", "x", after=["a"])], 400, "invalid_request", "steps"),
        ([say("a b", "x")], 400, "invalid_request", "steps.0.id"),
        ([say("a", "x", surprise=1)], 400, "unknown_parameter", "steps.0.surprise"),
        (
            [say("a", "x", retry={"attempts": 10, "delay_s": 61})],
            400,
            "invalid_request",
            "steps.0.retry.delay_s",
        ),
        ([say("a", "x", model="gone")], 404, "model_not_found", "steps.0.model"),
        ([say("a", "x", operation="fly")], 400, "invalid_request", "steps.0.operation"),
        ([echo("a", {})], 400, "invalid_request", "steps.0.input.messages"),
        ([echo("a", HELLO | {"x": 1})], 400, "unknown_parameter", "steps.0.input.x"),
        ([echo("a", HELLO | {"stream": True})], 400, "invalid_request", "steps.0.input.stream"),
        ([echo("a", HELLO | {"model": "b"})], 400, "invalid_request", "steps.0.input.model"),
        (
            [say("a", "x"), echo("b", HELLO | {"user": "${steps.a.output.text}", "n": 0})],
            400,
            "invalid_request",
            "steps.1.input.n",
        ),
        (
            [say("a", "x"), echo("b", {"message": [{"content": "${steps.a.output.text}"}]})],
            400,
            "invalid_request",
            "steps.1.input.messages",
        ),
        (
            [say("a", "${steps.b.output}")],
            400,
            "invalid_request",
            CONTENT,
        ),
        ([say("a", "${inputs.b}")], 400, "invalid_request", CONTENT),
        (
            [say("a", f"${{media.{NEVER}}}")],
            400,
            "invalid_request",
            CONTENT,
        ),
        ([say("a", "${item}", map=[1] * 101)], 400, "invalid_request", "steps.0.map"),
        ([say("a", "x", **{"if": "${steps.z.status}"})], 400, "invalid_request", "steps.0.if"),
    ],
)
async def test_what_cannot_be_run_is_refused_with_its_place(
    world, key, client, steps, status, code, param
):
    for path in (RUNS, CHECK):
        response = await client.post(path, json={"steps": steps})
        assert error_of(response)[:3] == (status, code, param), response.text
    assert await stored(world, key) == 0
    assert not world.models.calls


async def test_each_item_that_is_known_is_checked(client):
    steps = [echo("a", HELLO | {"n": "${item}"}, map="${inputs.list}")]
    response = await client.post(RUNS, json={"steps": steps, "inputs": {"list": [1, 2, 0]}})
    assert error_of(response)[2] == "steps.0.input.n"
    response = await client.post(RUNS, json={"steps": steps, "inputs": {"list": "no"}})
    assert error_of(response)[2] == "steps.0.map"


@pytest.mark.parametrize(
    "content",
    [
        b'{"steps": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"steps": [{"id": "a", "model": "echo", "input": ' + b'{"a":' * 50 + b"1" + b"}" * 52,
        b'{"inputs": {"a": NaN}}',
        b"[]",
        b'{"steps": "' + b"x" * 3_000_000 + b'"}',
    ],
)
async def test_documents_that_are_hard_to_read_are_refused(client, content):
    response = await client.post(
        RUNS, content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code in (400, 413), response.text


async def test_text_that_cannot_be_kept_is_refused_with_its_place(world, key, client):
    steps = [say("a", "x")]
    response = await client.post(RUNS, json={"steps": steps, "inputs": {"x": "a\0b"}})
    assert error_of(response)[:3] == (400, "invalid_request", "inputs.x")
    run = await ran(client, *steps, inputs={"x": "a"})
    again = await client.post(f"{RUNS}/{run['id']}/rerun", json={"inputs": {"x": "\0"}})
    assert error_of(again)[:2] == (400, "invalid_request")
    text = b"steps:\n- id: a\n  model: echo\n  input: {[x]: y}\n"
    response = await client.post(CHECK, content=text, headers={"content-type": "text/yaml"})
    assert error_of(response)[:2] == (400, "malformed_body")
    assert "line 4, column 11" in error_of(response)[3]
    assert await stored(world, key) == 1


async def test_a_small_body_that_stands_for_a_large_one_is_refused(world, key, client):
    inputs = {"big": "x" * 1_000_000}
    often = [{"role": "user", "content": "say ${inputs.big}"}] * 100
    for step in (
        echo("a", {"messages": often}),
        say("a", "${item} ${inputs.big}", map=list(range(100))),
        say("a", "${item}", map=["${inputs.big}!"] * 100),
    ):
        response = await client.post(RUNS, json={"steps": [step], "inputs": inputs})
        assert error_of(response)[:2] == (413, "body_too_large"), response.text
    assert await stored(world, key) == 0


@pytest.mark.parametrize("url", ["ftp://x.example", "http://u:p@x.example", "http://x:22/", "x"])
async def test_a_webhook_that_is_no_good_url_is_refused(client, url):
    response = await client.post(RUNS, json={"steps": [say("a", "x")], "webhook": {"url": url}})
    assert error_of(response)[2] == "webhook.url"


async def test_a_model_that_the_key_may_not_use_is_refused(world, key, client):
    world.identifier.allowed[key] = ("fraud",)
    response = await client.post(RUNS, json={"steps": [say("a", "x")]})
    assert error_of(response)[:3] == (403, "model_not_allowed", "steps.0.model")


async def spent(world, key):
    """Requests of the day."""
    who = await world.identifier.identify(key)
    (state,) = await world.admission.standing(Limits(PLANS).scopes(who))
    return state.used


async def test_a_budget_that_cannot_hold_the_whole_is_not_begun(world):
    key = await world.tenant("brief")
    async with world.http(key) as client:
        steps = [say(f"s{n}", "x") for n in range(5)]
        response = await client.post(RUNS, json={"steps": steps})
        assert error_of(response)[:2] == (429, "insufficient_quota")
        assert await stored(world, key) == 0
        assert await spent(world, key) == 0
        # The run itself is a request too.
        assert (await ran(client, *steps[:4]))["status"] == "completed"
        response = await client.post(RUNS, json={"steps": steps[:1]})
        assert response.status_code == 429


async def test_runs_under_way_hold_their_estimates_against_each_other(world):
    key = await world.tenant("brief")
    world.runner.paused = True
    async with world.http(key) as client:
        three = [say(f"s{n}", f"{n}") for n in range(3)]
        run = await begun(client, *three)
        response = await client.post(RUNS, json={"steps": three})
        assert error_of(response)[:2] == (429, "insufficient_quota")
        answers = await asyncio.gather(
            *(client.post(RUNS, json={"steps": three[:2]}) for _ in range(5))
        )
        assert sum(answer.status_code == 200 for answer in answers) <= 1
        await client.post(f"{RUNS}/{run['id']}/cancel")
        assert await stored(world, key) == 1 + sum(a.status_code == 200 for a in answers)


async def direct(world, key):
    """A call of the tenant's that is part of no run."""
    call = call_of(
        CATALOG,
        "chat",
        HELLO | {"model": "echo"},
        request_id=secrets.token_hex(8),
        trace_id="direct",
        endpoint="/v1/chat/completions",
    )
    return await world.path.answer(call, key, await world.identifier.identify(key))


async def test_what_a_run_needs_nobody_else_can_spend(world):
    key = await world.tenant("brief")
    gate = asyncio.Event()
    world.models.held = {"0": gate}
    async with world.http(key) as client:
        run = await begun(client, say("each", "${item}", map=["0", "1", "2"]))
        await until(lambda: world.models.asked["2"])
        assert await spent(world, key) == 4
        other = await client.post(RUNS, json={"steps": [say("a", "x")]})
        assert error_of(other)[:2] == (429, "insufficient_quota")
        await direct(world, key)
        with pytest.raises(BudgetSpent):
            await direct(world, key)
        gate.set()
        assert (await ended(client, run))["status"] == "completed"
    assert await spent(world, key) == 5


async def test_what_a_run_did_not_need_is_given_back(world):
    key = await world.tenant("brief")
    async with world.http(key) as client:
        run = await ran(
            client,
            say("list", "one"),
            say("each", "${item}", map="${steps.list.output.list}", max_items=2),
            say("never", "x", **{"if": "1 == 2"}),
        )
        assert run["status"] == "completed", run["error"]
        assert await spent(world, key) == 3
        gate = asyncio.Event()
        world.models.held = {"slow": gate}
        run = await begun(client, say("a", "slow"))
        await until(lambda: world.models.asked["slow"])
        assert await spent(world, key) == 5
        await client.post(f"{RUNS}/{run['id']}/cancel")


async def test_what_a_cancelled_run_held_is_given_back(world):
    key = await world.tenant("brief")
    world.runner.paused = True
    async with world.http(key) as client:
        run = await begun(client, say("a", "x"), say("b", "y"), say("c", "z"))
        assert await spent(world, key) == 4
        await client.post(f"{RUNS}/{run['id']}/cancel")
        assert await spent(world, key) == 1
        await client.post(f"{RUNS}/{run['id']}/resume")
        assert await spent(world, key) == 5


async def test_a_run_that_calls_nothing_is_a_request_all_the_same(world):
    key = await world.tenant("brief")
    idle = say("a", "x", **{"if": "false"})
    async with world.http(key) as client:
        for count in range(1, 5):
            run = await ran(client, idle)
            assert (run["status"], by_id(run)["a"]["status"]) == ("completed", "skipped")
            assert await spent(world, key) == count
        # There is one left, and one call that it might make.
        assert error_of(await client.post(RUNS, json={"steps": [idle]}))[0] == 429
        assert await spent(world, key) == 4
    assert await stored(world, key) == 4


async def test_a_rate_that_could_never_hold_a_step_is_told_and_others_are_waited_for(world):
    key = await world.tenant("slow")
    async with world.http(key) as client:
        response = await client.post(RUNS, json={"steps": [say("a", "long " * 200)]})
        assert response.status_code == 429
        # Together more than a minute's window, but each fits.
        response = await client.post(CHECK, json={"steps": [say(f"s{n}", "x") for n in range(4)]})
        assert response.status_code == 200


async def test_a_cancelled_run_stops_and_is_resumed_where_it_was(world, client):
    gate = asyncio.Event()
    world.models.held = {"two": gate}
    run = await begun(client, say("a", "one"), say("b", "two", after=["a"]), say("c", "three"))
    await until(lambda: world.models.asked["two"] and world.models.asked["three"])
    cancelled = (await client.post(f"{RUNS}/{run['id']}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    gate.set()
    resumed = (await client.post(f"{RUNS}/{run['id']}/resume")).json()
    assert (resumed["status"], resumed["resumed"]) == ("queued", 1)
    run = await ended(client, run)
    assert run["status"] == "completed"
    assert world.models.asked == {"one": 1, "two": 2, "three": 1}
    again = await client.post(f"{RUNS}/{run['id']}/resume")
    assert error_of(again)[:2] == (409, "conflict")
    again = await client.post(f"{RUNS}/{run['id']}/cancel")
    assert again.status_code == 409


async def test_a_failed_run_is_resumed_and_only_what_failed_is_done_again(world, client):
    world.models.errors = {"two": [InvalidRequest("no")], "item 1": [InvalidRequest("no")]}
    last = say("c", "x ${steps.b.output.text}")
    run = await ran(client, say("a", "one"), say("b", "two", after=["a"]), last)
    assert run["status"] == "failed"
    await client.post(f"{RUNS}/{run['id']}/resume")
    assert (await ended(client, run))["status"] == "completed"
    assert world.models.asked == {"one": 1, "two": 2, "x two": 1}
    run = await ran(client, say("each", "item ${item}", map=[0, 1, 2]))
    assert run["error"]["message"] == "step 'each': item 1: no"
    await client.post(f"{RUNS}/{run['id']}/resume")
    run = await ended(client, run)
    assert run["status"] == "completed"
    assert [item["status"] for item in by_id(run)["each"]["items"]] == ["completed"] * 3
    assert world.models.asked["item 0"] == 1


async def test_what_a_lost_execution_held_of_budgets_is_given_back_when_it_is_resumed(
    world, client
):
    world.runner.paused = True
    run = await begun(client, say("a", "one"))
    assert run["id"] in world.admission.promises
    await world.book.fail(run["id"], "x", "the process that said so died before it gave it back")
    resumed = await client.post(f"{RUNS}/{run['id']}/resume")
    assert resumed.status_code == 200, resumed.text
    names = [name for name in world.admission.promises if name.startswith(run["id"])]
    assert names == [f"{run['id']}.1"]


async def read_events(client, run, **headers):
    events = []
    async with client.stream("GET", f"{RUNS}/{run['id']}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        fields = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                events.append((int(fields.get("id", 0)), json.loads(fields["data"])))
                fields = {}
    return events


async def test_events_tell_what_happens_and_what_was_missed(world, client):
    gate = asyncio.Event()
    world.models.held = {"two": gate}
    run = await begun(client, say("a", "one"), say("b", "two", after=["a"]))
    reading = asyncio.ensure_future(read_events(client, run))
    await until(lambda: world.models.asked["two"])
    await asyncio.sleep(0.7)
    gate.set()
    events = await asyncio.wait_for(reading, 20)
    types = [event["type"] for _, event in events]
    assert types[0] in ("workflow.run.queued", "workflow.run.in_progress")
    assert types[-1] == "workflow.run.completed"
    assert types[-2] == "workflow.step.completed"
    ids = [id_ for id_, event in events if "step" in event]
    assert ids == sorted(ids)
    last = max(ids)
    missed = await read_events(client, run, **{"last-event-id": str(last - 1)})
    assert [event["type"] for _, event in missed] == [
        "workflow.step.completed",
        "workflow.run.completed",
    ]
    response = await client.get(f"{RUNS}/{run['id']}/events", headers={"last-event-id": "x"})
    assert response.status_code == 400


async def test_history_pages_and_forgets(client):
    runs = [await ran(client, say("a", f"n{n}"), metadata={"n": str(n)}) for n in range(3)]
    page = (await client.get(RUNS, params={"limit": 2})).json()
    assert [run["id"] for run in page["data"]] == [runs[2]["id"], runs[1]["id"]]
    assert page["has_more"] is True
    # What a run was given and made may be megabytes: one run is asked for that.
    assert not {"inputs", "outputs", "steps"} & page["data"][0].keys()
    assert page["data"][0].items() <= runs[2].items()
    rest = (await client.get(RUNS, params={"after": page["last_id"]})).json()
    assert [run["metadata"] for run in rest["data"]] == [{"n": "0"}]
    deleted = await client.delete(f"{RUNS}/{runs[0]['id']}")
    assert deleted.json()["deleted"] is True
    assert (await client.get(f"{RUNS}/{runs[0]['id']}")).status_code == 404


async def test_another_tenants_run_and_media_are_not_there(world, client):
    run = await ran(client, say("a", "canary", map=[1]))
    media = (await client.post("/v1/media", files={"file": ("a.png", PICTURE)})).json()
    steps = [say("a", f"${{media.{media['id']}}}")]
    tenant = await world.tenant()
    async with world.http(tenant) as other:
        for method, path in (
            ("GET", ""),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("POST", "/resume"),
            ("POST", "/rerun"),
            ("DELETE", ""),
        ):
            response = await other.request(method, f"{RUNS}/{run['id']}{path}")
            assert response.status_code == 404, (method, path)
        assert (await other.get(f"/task/{run['id']}")).status_code == 404
        assert (await other.get(RUNS)).json()["data"] == []
        response = await other.post(RUNS, json={"steps": steps})
        assert error_of(response)[:3] == (400, "invalid_request", CONTENT)
    assert (await begun(client, *steps))["status"] == "queued"
    assert await world.steps.of_run(tenant, run["id"]) == []


async def test_the_older_paths_answer(world, client):
    services = (await client.get("/services")).json()["services"]
    assert services["image"]["model"] == "starter-image"
    assert "video" not in services
    for path in ("/orchestrate", "/api/v1/orchestrate"):
        task = {"task_type": "image", "parameters": {"prompt": "a bell"}}
        begun_ = await client.post(path, json=task)
        assert begun_.status_code == 200, begun_.text
        task_id = begun_.json()["task_id"]
        await asyncio.gather(*world.runner.tasks.values())
        told = (await client.get(f"/task/{task_id}")).json()
        assert told["status"] == "completed"
        assert told["results"][0]["result"]["data"][0]["b64_json"]["url"]
    several = {
        "mode": "sequential",
        "tasks": [
            {"task_type": "crypto", "parameters": {"symbol": "bitcoin", "days": 2}},
            {"task_type": "chat", "parameters": HELLO},
        ],
    }
    response = await client.post("/orchestrate", json=several)
    assert response.status_code == 200, response.text
    job = await world.book.read(response.json()["task_id"])
    assert job.request["workflow"]["steps"][1]["after"] == ["crypto-0"]
    for bad in ({}, {"task_type": "x"}, {"task_type": "image", "parameters": {"x": 1}}):
        assert (await client.post("/orchestrate", json=bad)).status_code == 400


async def test_the_secret_of_webhooks_is_for_those_who_may_make_keys(client):
    response = await client.get("/v1/workflows/webhook-secret")
    assert response.status_code == 403


async def test_the_end_of_a_run_is_handed_on_to_be_told(world, client):
    world.models.errors = {"bad": [InvalidRequest("no")]}
    hook = {"url": "https://x.example/hook"}
    for text in ("good", "bad"):
        run = await ran(client, say("a", text), webhook=hook)
        await asyncio.gather(*world.runner.tasks.values())
        told = world.runner.hooks[-1].request
        assert (told["run_id"], told["url"]) == (run["id"], hook["url"])
        assert told["end"]["status"] == {"good": "completed", "bad": "failed"}[text]
    world.runner.paused = True
    run = await begun(client, say("a", "x"), webhook=hook)
    await client.post(f"{RUNS}/{run['id']}/cancel")
    assert world.runner.hooks[-1].request["run_id"] == run["id"]
    assert len(world.runner.hooks) == 3


async def test_the_end_of_a_run_is_told_again_when_its_owner_asks(world, client):
    world.models.errors = {"bad": [InvalidRequest("no")]}
    hook = {"url": "https://x.example/hook"}
    run = await ran(client, say("a", "bad"), webhook=hook)
    await asyncio.gather(*world.runner.tasks.values())
    (job,) = world.runner.hooks
    again = await client.post(f"{RUNS}/{run['id']}/redeliver")
    assert again.json()["error"]["code"] == "conflict"  # the first try is under way
    await world.book.begin(job.id)
    await world.book.complete(job.id, {"status_code": 204})
    assert (await client.get(f"{RUNS}/{run['id']}")).json()["webhook"]["status"] == "delivered"
    again = await client.post(f"{RUNS}/{run['id']}/redeliver")
    assert again.status_code == 200, again.text
    told = again.json()["webhook"]
    assert (told["status"], told["tries"], told["next_try_at"]) == ("pending", 1, None)
    assert (await world.book.read(job.id)).execution != job.execution
    row = await world.database.row(
        "SELECT status, waiting_since IS NOT NULL FROM jobs WHERE id = $1", job.id
    )
    assert tuple(row) == ("queued", True)
    async with world.http(await world.tenant()) as other:
        assert (await other.post(f"{RUNS}/{run['id']}/redeliver")).status_code == 404
    silent = await ran(client, say("a", "x"))
    refused = await client.post(f"{RUNS}/{silent['id']}/redeliver")
    assert refused.json()["error"]["message"] == "the run has no webhook"
    world.runner.paused = True
    run = await begun(client, say("a", "y"), webhook=hook)
    refused = await client.post(f"{RUNS}/{run['id']}/redeliver")
    assert refused.status_code == 409


async def test_a_run_that_could_not_be_handed_over_is_a_promise_and_is_not_asked_for_twice(
    world, key, client
):
    world.runner.away = True
    hook = {"url": "https://x.example/hook"}
    run = await begun(client, say("a", "x"), webhook=hook)
    cancelled = await client.post(f"{RUNS}/{run['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    told = (await client.get(f"{RUNS}/{run['id']}")).json()["webhook"]
    assert told["status"] == "pending"
    world.runner.away = False
    await client.post(f"{RUNS}/{run['id']}/cancel")
    assert {(hook.id, hook.request["run_id"]) for hook in world.runner.hooks} == {
        (run["id"].replace("run_", "hook_"), run["id"])
    }
    resumed = (await client.post(f"{RUNS}/{run['id']}/resume")).json()
    assert resumed["status"] == "queued"
    assert (await ended(client, run))["status"] == "completed"
