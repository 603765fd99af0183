"""Runs of workflows: order, conditions, lists, failures, media, and what is never done twice.

Jobs run in this process (`tests.ingress.workflow_world`). That real ones survive `kill -9` is
tested in `test_workflow_recovery.py`.
"""

import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.workflow_steps import StepStatus
from core.errors import CarillonError, Conflict, InvalidRequest, ModelUnavailable
from core.references import Room
from core.work import NO_WORK
from core.workflow import Retry
from graphs.orchestrator.places import SHARE, Places
from ingress.catalog import Catalog
from tests.ingress.workflow_world import (
    BEEP,
    CATALOG,
    PICTURE,
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


async def test_steps_take_what_others_made(world, client):
    run = await ran(
        client,
        say("last", "${steps.first.output.text} and ${steps.second.output.choices[0].message}"),
        say("first", "about ${inputs.topic}"),
        say("second", "${steps.first.output.text}!"),
        inputs={"topic": "bells"},
        outputs={"all": "${steps.last.output.text}", "n": "${inputs.topic}"},
    )
    assert run["status"] == "completed", run
    second = '{"role":"assistant","content":"about bells!"}'
    assert run["outputs"] == {"all": f"about bells and {second}", "n": "bells"}
    assert [step["id"] for step in run["steps"]] == ["last", "first", "second"]
    assert all(step["status"] == "completed" for step in run["steps"])
    assert run["progress"] == 100


async def test_each_step_is_a_call_of_its_own_in_the_ledger(world, client):
    run = await ran(client, say("a", "one"), say("b", "two"))
    assert [s.status_code for s in world.settlements] == [200, 200]
    ids = {step["request_id"] for step in run["steps"]}
    assert {s.request_id for s in world.settlements} == ids
    assert {call.trace_id for call in world.models.calls} == {run["id"]}
    assert {call.endpoint for call in world.models.calls} == {RUNS}


async def test_independent_steps_run_together_within_a_bound(world, client):
    gate = asyncio.Event()
    steps = [say(f"s{n}", f"word{n}") for n in range(20)]
    world.models.held = {f"word{n}": gate for n in range(20)}
    run = await begun(client, *steps)
    await until(lambda: world.models.under_way >= 8)
    await asyncio.sleep(0.05)
    assert world.models.under_way == 8
    gate.set()
    assert (await ended(client, run))["status"] == "completed"


async def test_a_condition_decides_and_what_takes_from_a_skipped_step_is_skipped(world, client):
    run = await ran(
        client,
        say("a", "yes"),
        say("wanted", "w", **{"if": "${steps.a.output.text} == 'yes'"}),
        say("unwanted", "u", **{"if": "${steps.a.output.text} == 'no'"}),
        say("fed", "${steps.unwanted.output.text}"),
        say("after", "z", after=["unwanted"]),
        say("told", "${steps.unwanted.status}", **{"if": "${steps.unwanted.output.x} == null"}),
        outputs={"unwanted": "${steps.unwanted.output.text}"},
    )
    assert run["status"] == "completed", run
    statuses = {name: step["status"] for name, step in by_id(run).items()}
    assert statuses == {
        "a": "completed",
        "wanted": "completed",
        "unwanted": "skipped",
        "fed": "skipped",
        "after": "completed",
        "told": "completed",
    }
    assert by_id(run)["fed"]["error"]["message"] == "'unwanted' was skipped"
    assert by_id(run)["told"]["output"]["text"] == "skipped"
    assert run["outputs"] == {"unwanted": None}


async def test_a_step_runs_for_each_item_of_a_list(world, client):
    run = await ran(
        client,
        say("words", "red green blue"),
        say("each", "${index}: ${item}", map="${steps.words.output.list}"),
        say("fixed", "<${item.name}>", map=[{"name": "x"}, {"name": "${inputs.n}"}]),
        say("none", "${item}", map="${inputs.empty}"),
        say("join", "${steps.each.output[1].text} of ${steps.fixed.output[-1].text}"),
        inputs={"n": "y", "empty": []},
        outputs={"all": "${steps.each.output}", "none": "${steps.none.output}"},
    )
    assert run["status"] == "completed", run
    assert [each["text"] for each in run["outputs"]["all"]] == ["0: red", "1: green", "2: blue"]
    assert run["outputs"]["none"] == []
    assert by_id(run)["join"]["output"]["text"] == "1: green of <y>"
    items = by_id(run)["each"]["items"]
    assert [(each["item"], each["status"]) for each in items] == [
        (0, "completed"),
        (1, "completed"),
        (2, "completed"),
    ]


async def test_a_list_that_is_longer_than_was_estimated_fails_its_step(world, client):
    run = await ran(
        client,
        say("words", "a b c"),
        say("each", "${item}", map="${steps.words.output.list}", max_items=2),
    )
    assert run["status"] == "failed"
    assert run["error"]["message"] == "step 'each': 'map': 3 items; the limit is 2 ('max_items')"
    assert world.models.asked["a"] == 0


async def test_what_a_model_refuses_is_not_tried_again_and_ends_the_run(world, client):
    world.models.errors = {"bad": [InvalidRequest("too dark", "prompt")]}
    run = await ran(
        client, say("a", "bad", retry={"attempts": 5}), say("b", "never ${steps.a.output.text}")
    )
    assert run["status"] == "failed"
    assert run["error"] == {"code": "invalid_request", "message": "step 'a': too dark"}
    assert world.models.asked == {"bad": 1}
    assert by_id(run)["b"] == {"id": "b", "status": "pending"}


async def test_a_fault_is_tried_again_as_often_as_the_step_says(world, client):
    world.models.errors = {"flaky": [CarillonError("broken"), CarillonError("broken")]}
    run = await ran(client, say("a", "flaky", retry={"attempts": 3, "delay_s": 0.01}))
    assert run["status"] == "completed"
    assert by_id(run)["a"]["tries"] == 3
    world.models.errors = {"broken": [CarillonError("broken")] * 9}
    run = await ran(client, say("a", "broken", retry={"attempts": 2, "delay_s": 0.01}))
    assert (run["status"], by_id(run)["a"]["tries"]) == ("failed", 2)


async def test_a_model_that_is_away_for_a_moment_is_waited_for(world, client):
    world.models.errors = {"x": [ModelUnavailable("killed", None, 0.01)] * 2}
    run = await ran(client, say("a", "x"))
    assert run["status"] == "completed"
    assert [s.status_code for s in world.settlements] == [503, 503, 200]


async def test_a_step_that_takes_too_long_fails(world, client):
    world.models.held = {"slow": asyncio.Event()}
    run = await ran(client, say("a", "slow", timeout_s=0.05))
    assert run["error"] == {
        "code": "deadline_exceeded",
        "message": "step 'a': no answer within 0.05 s",
    }


async def test_a_run_ends_when_its_time_is_over_whatever_it_waits_for(world, client, monkeypatch):
    monkeypatch.setattr("ingress.workflow_runs.PATIENCE", timedelta(seconds=1))
    world.models.errors = {"x": [CarillonError("broken")]}
    world.models.held = {"slow": asyncio.Event()}
    steps = (
        say("a", "x", retry={"attempts": 10, "delay_s": 60}, on_failure="continue"),
        say("b", "slow"),
    )
    run = await ran(client, *steps)
    assert (run["status"], run["error"]["code"]) == ("failed", "deadline_exceeded")
    assert world.models.under_way == 0
    # As if a process took it over that had been left too late.
    await world.database.execute("UPDATE jobs SET status = 'queued' WHERE id = $1", run["id"])
    await world.runner.run(run["id"])
    assert (await ended(client, run))["error"]["code"] == "deadline_exceeded"
    monkeypatch.undo()
    world.models.held["slow"].set()
    await client.post(f"{RUNS}/{run['id']}/resume")
    run = await ended(client, run)
    assert run["status"] == "completed", run["error"]


def test_pauses_between_tries_grow_up_to_a_minute():
    retry = Retry(attempts=10, delay_s=10)
    assert [retry.pause_s(tries) for tries in (1, 2, 3, 4, 9)] == [10, 20, 40, 60, 60]


async def test_media_that_are_too_much_for_a_request_are_not_read(world, key, client, monkeypatch):
    who = await world.identifier.identify(key)
    size = 11 * 2**20  # a third more in base64: one fits, two do not
    media = [await world.store.put(who, bytes([n]) * size, "image/png") for n in (1, 2, 3)]
    read, reads = world.store.read, []

    async def counted(each):
        reads.append(each.hash)
        return await read(each)

    monkeypatch.setattr(world.store, "read", counted)
    all_of_them = "".join(f"${{media.{each.hash}}}" for each in media)
    run = await ran(client, say("a", all_of_them))
    assert (run["status"], run["error"]["code"]) == ("failed", "body_too_large")
    assert "step 'a': 'input': with its values" in run["error"]["message"]
    assert len(reads) == 1
    reads.clear()
    one = f"${{media.{media[0].hash}.base64}}"
    run = await ran(client, say("a", "x"), outputs={"all": one})
    assert run["error"]["message"].startswith("'outputs': with its values")
    assert not reads


async def test_few_large_requests_are_in_memory_at_once_and_small_ones_do_not_wait(
    world, key, client
):
    who = await world.identifier.identify(key)
    media = await world.store.put(who, b"x" * 2**20, "image/png")
    gate = asyncio.Event()
    world.models.held = {"large": gate}
    text = f"large:${{item}}${{media.{media.hash}}}"
    run = await begun(client, say("l", text, map=list(range(6))))
    await until(lambda: world.models.under_way == SHARE)
    small = await ran(client, say("s", f"has ${{media.{media.hash}.bytes}}"))
    assert small["status"] == "completed"
    await asyncio.sleep(0.1)
    assert world.models.under_way == SHARE
    gate.set()
    assert (await ended(client, run))["status"] == "completed"
    assert world.models.most_at_once <= SHARE + 1


async def test_a_tenant_has_half_of_the_places():
    places, held = Places(4, 2), []

    async def hold(tenant):
        async with places.one(tenant, needed=True):
            held.append(tenant)
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(hold(tenant)) for tenant in "aaaaabbbc"]
    await asyncio.sleep(0.01)
    assert sorted(held) == ["a", "a", "b", "b"]
    tasks[0].cancel()
    await asyncio.sleep(0.01)
    assert len(held) == 5
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1), places.one("d", needed=True):
        pass


async def test_a_long_list_of_large_outputs_is_not_read_whole(world, client, monkeypatch):
    monkeypatch.setattr("graphs.orchestrator.values.Room", lambda: Room(300_000))
    embed = {"id": "e", "model": "embed", "map": ["a", "b", "c"], "input": {"input": "${item}"}}
    run = await ran(client, embed, say("n", "${steps.e.output}"))
    assert run["error"]["code"] == "body_too_large"


async def test_nul_in_what_a_model_says_is_left_out(world, client):
    world.models.errors = {"bad": [InvalidRequest("no \0 here")]}
    run = await ran(
        client,
        say("a", "${inputs.text}"),
        say("b", "${steps.a.output.text}!"),
        say("c", "bad", on_failure="continue"),
        inputs={"text": "left NUL right"},
    )
    assert run["status"] == "completed", run["error"]
    assert by_id(run)["a"]["output"]["text"] == "left  right"
    assert by_id(run)["b"]["output"]["text"] == "left  right!"
    assert by_id(run)["c"]["error"]["message"] == "no  here"


async def test_a_models_own_conflict_is_its_answer(world, client):
    world.models.errors = {"x": [Conflict("the document is being written")] * 2}
    response = await client.post(
        RUNS, json={"steps": [say("a", "x")]}, headers={"cache-control": "no-store"}
    )
    run = await ended(client, response.json())
    assert run["error"] == {
        "code": "conflict",
        "message": "step 'a': the document is being written",
    }
    assert world.models.asked == {"x": 1}


async def test_a_failure_may_be_forgiven(world, client):
    world.models.errors = {name: [InvalidRequest("no")] for name in ("a", "b", "2")}
    run = await ran(
        client,
        say("go", "a", on_failure="continue"),
        say("instead", "b", on_failure={"output": {"text": "nothing"}}),
        say("fed", "${steps.go.output.text}"),
        say("then", "${steps.instead.output.text}, ${steps.go.error.message}"),
        say("plan_b", "c", **{"if": "${steps.go.status} == 'failed'"}),
        say("each", "${item}", map=["1", "2"], on_failure="continue"),
        outputs={"each": "${steps.each.output}"},
    )
    assert run["status"] == "completed", run
    steps = by_id(run)
    assert steps["go"]["status"] == "failed"
    assert steps["fed"]["status"] == "skipped"
    assert steps["then"]["output"]["text"] == "nothing, no"
    assert steps["plan_b"]["status"] == "completed"
    assert [each and each["text"] for each in run["outputs"]["each"]] == ["1", None]


async def test_after_a_failure_nothing_begins_and_what_is_under_way_is_kept(world, client):
    gate = asyncio.Event()
    world.models.held = {"slow": gate}
    world.models.errors = {"bad": [InvalidRequest("no")]}
    run = await begun(
        client, say("slow", "slow"), say("bad", "bad"), say("next", "${steps.slow.output.text}!")
    )
    await until(lambda: world.models.asked["bad"])
    gate.set()
    run = await ended(client, run)
    assert run["status"] == "failed"
    assert by_id(run)["slow"]["status"] == "completed"
    assert by_id(run)["next"]["status"] == "pending"


async def test_files_go_to_the_library_and_on_to_other_models(world, key, client):
    picture = {"prompt": "a bell"}
    run = await ran(
        client,
        {"id": "draw", "model": "starter-image", "operation": "generate", "input": picture},
        {"id": "speak", "model": "starter-speech", "input": {"input": "hello"}},
        {
            "id": "hear",
            "model": "starter-transcribe",
            "operation": "transcribe",
            "input": {"file": "${steps.speak.output.media}"},
        },
        {
            "id": "change",
            "model": "starter-image",
            "operation": "edit",
            "input": {"prompt": "x", "image": "${steps.draw.output.data[0].b64_json.data_url}"},
        },
        say("tell", "${steps.draw.output.data[0].b64_json.media_type}"),
        outputs={"picture": "${steps.draw.output.data[0].b64_json}"},
    )
    assert run["status"] == "completed", run
    assert by_id(run)["hear"]["output"]["text"] == f"{len(BEEP)} bytes"
    assert by_id(run)["tell"]["output"]["text"] == "image/png"
    told = run["outputs"]["picture"]
    assert (told["object"], told["bytes"]) == ("media", len(PICTURE))
    assert (await client.get(told["url"])).content == PICTURE
    library = (await client.get("/v1/media")).json()["data"]
    assert {media["media_type"] for media in library} == {"image/png", "audio/wav"}
    assert await world.book.mentions(key, told["id"])


async def test_a_large_output_is_a_file_and_can_be_referred_to(world, client):
    run = await ran(
        client,
        {"id": "embed", "model": "embed", "input": {"input": "x"}},
        say("one", "= ${steps.embed.output.data[0].embedding[19999]}"),
    )
    assert run["status"] == "completed", run["error"]
    step = by_id(run)["embed"]
    assert step["output"] is None
    assert (await client.get(f"/v1/media/{step['output_media']}")).status_code == 200
    assert by_id(run)["one"]["output"]["text"] == "= 0.123456"


async def test_a_request_that_turns_out_wrong_names_what_is(world, client):
    run = await ran(
        client,
        say("a", "hello"),
        say("b", "${steps.a.output.nothing.here}"),
    )
    assert run["error"]["message"] == (
        "step 'b': 'input': '${steps.a.output.nothing.here}': there is no 'nothing'"
    )
    document = {"messages": "${steps.a.output.text}"}
    run = await ran(client, say("a", "hello"), {"id": "b", "model": "echo", "input": document})
    assert run["error"]["message"].startswith("step 'b': Invalid value for 'messages'")


async def test_what_a_killed_process_held_is_given_back_and_what_it_finished_is_kept(world, client):
    gate = asyncio.Event()
    world.models.held = {"two": gate}
    run = await begun(client, say("a", "one"), say("b", "two", after=["a"]))
    await until(lambda: world.models.asked["two"])
    held = set(world.admission.reservations)
    # As if killed: nothing of it is heard any more, and its reservation stays.
    lost = dict(world.admission.reservations)
    world.runner.tasks[run["id"]].cancel()
    await asyncio.gather(*world.runner.tasks.values(), return_exceptions=True)
    world.admission.reservations.update(lost)
    gate.set()
    await world.runner.run(run["id"])
    run = await ended(client, run)
    assert run["status"] == "completed"
    assert world.models.asked == {"one": 1, "two": 2}
    (lost_id,) = held
    by_request = {s.request_id: s for s in world.settlements}
    assert (by_request[lost_id].status_code, by_request[lost_id].units) == (503, NO_WORK)
    assert not world.admission.reservations


async def test_who_takes_a_run_over_asks_the_same_as_who_died(world, client):
    gate = asyncio.Event()
    document = {"messages": [{"role": "user", "content": "all: ${steps.a.output}"}]}
    world.models.held = {"all": gate}
    run = await begun(client, say("a", "one"), {"id": "b", "model": "echo", "input": document})
    await until(lambda: len(world.models.asked) == 2)
    world.runner.tasks[run["id"]].cancel()
    await asyncio.gather(*world.runner.tasks.values(), return_exceptions=True)
    gate.set()
    await world.runner.run(run["id"])
    assert (await ended(client, run))["status"] == "completed"
    assert sorted(world.models.asked.values()) == [1, 2]


async def test_what_was_charged_before_its_process_died_is_not_charged_again(
    world, client, monkeypatch
):
    record = world.steps.record

    async def dies(tenant_id, run_id, row):
        if row.status is StepStatus.COMPLETED:
            raise asyncio.CancelledError
        await record(tenant_id, run_id, row)

    monkeypatch.setattr(world.steps, "record", dies)
    response = await client.post(
        RUNS, json={"steps": [say("a", "one")]}, headers={"cache-control": "no-store"}
    )
    await asyncio.gather(*world.runner.tasks.values(), return_exceptions=True)
    monkeypatch.setattr(world.steps, "record", record)
    await world.runner.run(response.json()["id"])
    run = await ended(client, response.json())
    assert run["status"] == "completed", run["error"]
    assert world.models.asked == {"one": 1}
    (charged,) = world.settlements
    assert by_id(run)["a"]["request_id"] == charged.request_id


async def test_a_rerun_takes_what_did_not_change_from_the_cache(world, client):
    run = await ran(
        client,
        say("fixed", "same"),
        say("changed", "${inputs.word}"),
        say("both", "${steps.fixed.output.text} ${steps.changed.output.text}"),
        inputs={"word": "one"},
    )
    again = await client.post(f"{RUNS}/{run['id']}/rerun", json={"inputs": {"word": "two"}})
    assert again.status_code == 200, again.text
    second = await ended(client, again.json())
    caches = {name: step["cache"] for name, step in by_id(second).items()}
    assert caches == {"fixed": "HIT", "changed": "MISS", "both": "MISS"}
    assert world.models.asked["same"] == 1
    fresh = await client.post(
        f"{RUNS}/{run['id']}/rerun", json={}, headers={"cache-control": "no-cache"}
    )
    await ended(client, fresh.json())
    assert world.models.asked["same"] == 2


def draw(name, prompt, **more):
    return {
        "id": name,
        "model": "starter-image",
        "operation": "generate",
        "input": {"prompt": prompt} | more,
    }


def pictures(run):
    answers = [*run["outputs"]["unseeded"], run["outputs"]["another"]]
    return [answer["data"][0]["b64_json"]["id"] for answer in answers]


async def test_pictures_without_a_seed_differ_as_they_do_over_http(client):
    run = await ran(
        client,
        draw("unseeded", "${item}: variation") | {"map": ["a", "a"]},
        draw("another", "a: variation"),
        draw("seeded", "${item}: variation", seed=7) | {"map": ["a", "a"]},
        outputs={"unseeded": "${steps.unseeded.output}", "another": "${steps.another.output}"},
    )
    assert run["status"] == "completed", run["error"]
    assert len(set(pictures(run))) == 3
    assert [item["cache"] for item in by_id(run)["unseeded"]["items"]] == ["BYPASS", "BYPASS"]
    assert sorted(item["cache"] for item in by_id(run)["seeded"]["items"]) == ["HIT", "MISS"]
    # Whoever runs it again keeps each where it was, and pays for none.
    again = await rerun(client, run)
    assert pictures(again) == pictures(run)
    assert all(item["request_id"] is None for item in by_id(again)["unseeded"]["items"])


async def test_a_rerun_takes_over_what_the_cache_has_forgotten_or_never_kept(world, key, client):
    embed = {"model": "embed", "operation": "embed", "input": {"input": "large"}}
    run = await ran(
        client,
        draw("picture", "a bell", seed=1),
        say("sees", "size: ${steps.picture.output.data[0].b64_json.bytes}"),
        {"id": "large"} | embed,
        say("each", "<${item}>", map="${inputs.words}"),
        say("counted", "${steps.large.output.data[0].embedding[0]} ${steps.each.output[-1].text}"),
        inputs={"words": ["a", "b"]},
        outputs={"picture": "${steps.picture.output.data[0].b64_json}"},
    )
    assert run["status"] == "completed", run["error"]
    await world.admission.cache_clear()
    made, paid = world.models.asked.total(), len(world.settlements)
    again = await client.post(f"{RUNS}/{run['id']}/rerun", json={"inputs": {"words": ["new", "b"]}})
    second = await ended(client, again.json())
    assert second["status"] == "completed", second["error"]
    assert (run["repeats"], second["repeats"]) == (None, run["id"])
    assert {name: step["cache"] for name, step in by_id(second).items()} == {
        "picture": "HIT",
        "sees": "HIT",
        "large": "HIT",
        "each": None,
        "counted": "HIT",
    }
    items = by_id(second)["each"]["items"]
    assert [(item["cache"], item["request_id"] is None) for item in items] == [
        ("MISS", False),
        ("HIT", True),
    ]
    assert [item["output"]["text"] for item in items] == ["<new>", "<b>"]
    assert by_id(second)["counted"]["output"] == by_id(run)["counted"]["output"]
    assert (world.models.asked.total(), len(world.settlements)) == (made + 1, paid + 1)
    picture = second["outputs"]["picture"]
    assert picture["id"] == run["outputs"]["picture"]["id"]
    assert (await client.get(picture["url"])).content == PICTURE
    assert await world.book.mentions(key, picture["id"])
    # And so does a rerun of the rerun, of what that took over.
    third = await rerun(client, second)
    assert by_id(third)["sees"]["cache"] == by_id(third)["each"]["items"][0]["cache"] == "HIT"
    assert world.models.asked.total() == made + 1


async def test_a_rerun_does_again_what_is_gone_and_what_was_to_be_made_anew(world, client):
    run = await ran(
        client,
        draw("kept", "a bell", seed=1),
        say("same", "words"),
        {"id": "price", "model": "forecast", "operation": "history", "input": {"symbol": "BTC"}},
        {"id": "large", "model": "embed", "input": {"input": "large"}},
    )
    assert run["status"] == "completed", run["error"]
    (kept,) = [
        media
        for media in (await client.get("/v1/media")).json()["data"]
        if media["media_type"] == "application/json"
    ]
    await client.delete(f"/v1/media/{kept['id']}")
    await world.admission.cache_clear()
    calls = {name: step["cache"] for name, step in by_id(await rerun(client, run)).items()}
    assert calls == {
        "kept": "HIT",
        "same": "HIT",
        "price": "MISS",
        "large": "MISS",
    }
    for picture in (await client.get("/v1/media")).json()["data"]:
        await client.delete(f"/v1/media/{picture['id']}")
    assert by_id(await rerun(client, run))["kept"]["cache"] == "MISS"
    fresh = await client.post(
        f"{RUNS}/{run['id']}/rerun", json={}, headers={"cache-control": "no-cache"}
    )
    assert by_id(await ended(client, fresh.json()))["same"]["cache"] == "BYPASS"


async def test_nothing_is_taken_over_that_was_not_to_be_stored_or_of_another_model(world, client):
    unstored = await client.post(
        RUNS, json={"steps": [say("a", "one")]}, headers={"cache-control": "no-store"}
    )
    run = await ended(client, unstored.json())
    assert by_id(await rerun(client, run))["a"]["cache"] == "MISS"
    run = await ran(client, say("a", "two"))
    spec = CATALOG.named("echo").card
    world.workflows.catalog = Catalog([spec.model_copy(update={"revision": "another"})])
    await world.admission.cache_clear()
    assert by_id(await rerun(client, run))["a"]["cache"] == "MISS"
    assert world.models.asked == {"one": 2, "two": 2}


async def test_a_graph_that_keeps_data_is_told_whose_run_it_is_and_by_nobody_else(
    world, key, client
):
    search = {"id": "s", "model": "rag", "operation": "search", "input": {"query": "bells"}}
    run = await ran(client, search)
    assert run["error"]["code"] == "not_found"
    await keep_documents(world, key)
    run = await ran(client, search)
    assert run["status"] == "completed", run["error"]
    (call,) = world.models.calls
    assert call.request.tenant == key
    forged = search | {"input": {"query": "bells", "tenant": "another"}}
    response = await client.post(RUNS, json={"steps": [forged]})
    assert response.json()["error"]["param"] == "steps.0.input.tenant"
    hidden = {"id": "h", "model": "rag", "operation": "search", "input": {"query": "${item}"}}
    listed = hidden | {"map": [{"tenant": "another"}]}
    assert (await client.post(RUNS, json={"steps": [listed]})).status_code == 400


async def keep_documents(world, key):
    await world.database.execute(
        "INSERT INTO rag_collections (tenant_id, name, model, embedding, version)"
        " VALUES ($1, 'default', 'rag', 'e', 1)",
        key,
    )


async def rerun(client, run):
    again = await client.post(f"{RUNS}/{run['id']}/rerun", json={})
    return await ended(client, again.json())


async def test_answers_about_documents_are_reused_until_the_documents_change(world, key, client):
    await keep_documents(world, key)
    search = {"id": "s", "model": "rag", "operation": "search", "input": {"query": "bells"}}
    run = await ran(client, search, say("t", "words"))
    assert by_id(await rerun(client, run))["s"]["cache"] == "HIT"
    await world.database.execute(
        "UPDATE rag_collections SET version = version + 1 WHERE tenant_id = $1", key
    )
    assert by_id(await rerun(client, run))["s"]["cache"] == "MISS"


async def test_a_step_that_deletes_documents_leaves_no_answer_in_the_cache(world, key, client):
    await keep_documents(world, key)
    assert by_id(await ran(client, say("t", "a quotation")))["t"]["cache"] == "MISS"
    assert by_id(await ran(client, say("t", "a quotation")))["t"]["cache"] == "HIT"
    forget = {"model": "rag", "operation": "delete_documents", "input": {"id": "d"}}
    gone = await ran(client, {"id": "gone"} | forget)
    assert gone["status"] == "completed", gone["error"]
    assert by_id(await ran(client, say("t", "a quotation")))["t"]["cache"] == "MISS"


async def test_where_the_library_is_full_no_file_is_paid_for(world):
    key = await world.tenant("small")
    picture = {"prompt": "a bell"}
    draw = {"id": "draw", "model": "starter-image", "operation": "generate", "input": picture}
    async with world.http(key) as client:
        assert (await ran(client, draw))["status"] == "completed"
        paid = len(world.settlements)
        run = await ran(client, say("a", "words"), draw | {"id": "again", "after": ["a"]})
        assert run["error"]["code"] == "storage_quota_exceeded", run
        assert by_id(run)["a"]["status"] == "completed"
        assert len(world.settlements) == paid + 1
        (media,) = (await client.get("/v1/media")).json()["data"]
        await client.delete(f"/v1/media/{media['id']}")
        await client.post(f"{RUNS}/{run['id']}/resume")
        assert (await ended(client, run))["status"] == "completed"


async def test_a_run_ends_with_the_key_that_began_it(world, key, client):
    gate = asyncio.Event()
    world.models.held = {"one": gate}
    run = await begun(client, say("a", "one"), say("b", "two", after=["a"]))
    await until(lambda: world.models.asked["one"])
    plan = world.identifier.plans.pop(key)
    gate.set()
    await asyncio.gather(*world.runner.tasks.values())
    world.identifier.plans[key] = plan
    run = await ended(client, run)
    assert (run["status"], run["error"]["code"]) == ("failed", "invalid_api_key")
    assert world.models.asked["two"] == 0
