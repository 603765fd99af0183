"""Videos over HTTP with the official SDK: a job from its beginning to its end, and bad requests."""

import asyncio
import io
import json

import av
import openai
import pytest
from PIL import Image
from pydantic import SecretStr

from auth.database import Database
from tests.ingress.video_world import VideoWorld, data_url, picture, pixel_ms

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:The Sora API"),
]
VIDEOS = "/v1/videos"


@pytest.fixture
async def world(database_url, tmp_path):
    world = VideoWorld(Database(SecretStr(database_url)), tmp_path / "media")
    yield world
    await world.close()


@pytest.fixture
async def key(world):
    return await world.tenant()


@pytest.fixture
async def client(world, key):
    async with world.http(key) as client:
        yield client


@pytest.fixture
async def sdk(world, key):
    async with world.sdk(key) as sdk:
        yield sdk


def error_of(response):
    error = response.json()["error"]
    assert set(error) - {"carillon"} == {"message", "type", "param", "code"}
    assert "Traceback" not in response.text
    return error


async def ended(client, video_id):
    async with asyncio.timeout(30):
        while True:
            video = (await client.get(f"{VIDEOS}/{video_id}")).json()
            if video["status"] in ("completed", "failed"):
                return video
            await asyncio.sleep(0.02)


async def begun(client, **fields):
    response = await client.post(VIDEOS, json={"prompt": "a red circle", "seed": 7} | fields)
    assert response.status_code == 200, response.text
    return response.json()


async def events_of(client, video_id):
    async with client.stream("GET", f"{VIDEOS}/{video_id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.aiter_lines()]
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_the_sdk_creates_polls_and_downloads(world, sdk):
    video = await sdk.videos.create_and_poll(
        model="sora-2", prompt="a red circle moves", poll_interval_ms=20
    )
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert (video.model, video.size, video.seconds) == ("starter-video", "64x64", "4")
    assert video.created_at <= video.completed_at < video.expires_at
    data = (await sdk.videos.download_content(video.id)).content
    with av.open(io.BytesIO(data), "r") as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, float(stream.average_rate or 0)) == (64, 64, 4.0)
        assert len(list(file.decode(video=0))) == 16
    small = (await sdk.videos.download_content(video.id, variant="thumbnail")).content
    sheet = (await sdk.videos.download_content(video.id, variant="spritesheet")).content
    assert (Image.open(io.BytesIO(small)).format, Image.open(io.BytesIO(sheet)).format) == (
        "WEBP",
        "JPEG",
    )
    assert world.billed == pixel_ms(64, 64, 4)
    (settled,) = world.settlements
    assert settled.status_code == 200


async def test_the_sdk_lists_in_both_orders_and_deletes_what_was_stored(world, key, sdk):
    made = [await sdk.videos.create_and_poll(prompt=f"v{n}", poll_interval_ms=20) for n in range(3)]
    ids = [video.id for video in made]
    assert [video.id async for video in await sdk.videos.list(limit=2)] == ids[::-1]
    page = await sdk.videos.list(limit=2, order="asc")
    assert ([video.id for video in page.data], page.has_more) == (ids[:2], True)
    assert await world.stored(key) > 0
    for name in ids:
        gone = await sdk.videos.delete(name)
        assert (gone.id, gone.deleted, gone.object) == (name, True, "video.deleted")
    assert not (await sdk.videos.list()).data
    assert await world.stored(key) == 0
    with pytest.raises(openai.NotFoundError):
        await sdk.videos.retrieve(ids[0])


async def test_the_sdk_sends_a_first_picture_in_every_way(world, sdk, key):
    file = await sdk.files.create(file=("in.png", picture()), purpose="user_data")
    for way in (
        {"input_reference": ("in.png", picture(), "image/png")},
        # The SDK's types know these two, and its code takes them only here.
        {"extra_body": {"input_reference": {"image_url": data_url(picture())}}},
        {"extra_body": {"input_reference": {"file_id": file.id}}},
    ):
        video = await sdk.videos.create_and_poll(
            prompt="it moves", seconds="4", poll_interval_ms=20, **way
        )
        assert video.status == "completed", video
    assert [call.request.input_reference for call in world.studio.calls] == [picture()] * 3


async def test_options_reach_the_model_and_come_back(world, client):
    fields = {
        "size": "128x96",
        "seconds": 2,
        "fps": 8,
        "camera": ["pan_up", "zoom_in"],
        "camera_strength": 0.9,
        "negative_prompt": "blur",
        "steps": 3,
        "guidance": 2.5,
        "codec": "av1",
    }
    video = await ended(client, (await begun(client, **fields))["id"])
    assert video["status"] == "completed"
    assert video["camera"] == ["tilt_up", "zoom_in"]
    assert (video["size"], video["seconds"], video["fps"], video["seed"]) == ("128x96", "2", 8, 7)
    request = world.studio.calls[0].request
    assert request.camera == ("tilt_up", "zoom_in")
    assert (request.camera_strength, request.steps, request.guidance) == (0.9, 3, 2.5)
    assert (request.negative_prompt, request.codec, request.seed) == ("blur", "av1", 7)
    assert world.studio.contexts[0].durable


async def test_forms_name_everything_that_json_does(world, client):
    response = await client.post(
        VIDEOS,
        data={"prompt": "x", "seconds": "1", "camera[]": ["orbit_left", "zoom_out"], "seed": "3"},
        files={"input_reference": ("a.png", picture(), "image/png")},
    )
    video = await ended(client, response.json()["id"])
    assert (video["seconds"], video["fps"], video["seed"]) == ("1", 16, 3)
    assert world.studio.calls[0].request.camera == ("orbit_left", "zoom_out")


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"prompt": ""}, "prompt", ""),
        ({"prompt": None}, "prompt", ""),
        ({"prompt": "a\x00b"}, "prompt", "NUL"),
        ({"negative_prompt": "\x00"}, "negative_prompt", "NUL"),
        ({"size": "720x1280"}, "size", "64x64, 128x96"),
        ({"size": "big"}, "size", ""),
        ({"seconds": "12"}, "seconds", "4.25 s at 4 fps"),
        ({"seconds": 2, "fps": 16}, "seconds", "1.0625 s at 16 fps"),
        ({"seconds": 0}, "seconds", ""),
        ({"seconds": "nan"}, "seconds", ""),
        ({"fps": 30}, "fps", "4, 8, 16"),
        ({"camera": "somersault"}, "camera.0", ""),
        ({"camera": ["pan_left", "pan_right"]}, "camera", "at most once"),
        ({"camera": "zoom_in", "camera_strength": 2}, "camera_strength", ""),
        ({"model": "echo"}, "model", ""),
        ({"model": "painter"}, "input_reference", "needs a picture"),
        (
            {"model": "painter", "input_reference": data_url(picture()), "camera": "zoom_in"},
            "camera",
            "no moves",
        ),
        ({"input_reference": data_url(b"not a picture")}, "input_reference", "not a PNG"),
        ({"input_reference": "%%%"}, "input_reference", ""),
        ({"input_reference": {"image_url": "http://127.0.0.1/a.png"}}, "input_reference", ""),
        ({"input_reference": {"file_id": "file-nope"}}, "input_reference.file_id", "no such file"),
        ({"input_reference": {"path": "/etc/passwd"}}, "input_reference", ""),
        ({"codec": "vp8"}, "codec", ""),
        ({"stream": True}, "stream", ""),
        ({"n": 2}, "n", ""),
    ],
)
async def test_what_can_never_be_made_is_refused_at_once(world, client, fields, param, told):
    response = await client.post(VIDEOS, json={"prompt": "x"} | fields)
    assert response.status_code == 400
    error = error_of(response)
    assert error["param"] == param
    assert told in error["message"]
    assert (world.studio.calls, world.admission.events) == ([], [])
    assert not (await client.get(VIDEOS)).json()["data"]


async def test_a_file_that_is_no_picture_is_refused_by_its_content(world, client):
    for data, kind in ((b"GIF8", "image/gif"), (b"MZ" * 50, "image/png"), (picture(), "image/gif")):
        response = await client.post(
            VIDEOS, data={"prompt": "x"}, files={"input_reference": ("a", data, kind)}
        )
        assert (response.status_code, error_of(response)["param"]) == (400, "input_reference")
    assert not world.studio.calls


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/videos/nope", 404),
        ("GET", "/v1/videos/%00", 404),
        ("GET", "/v1/videos/%F0%9F%94%94/content", 404),
        ("DELETE", "/v1/videos/%00", 404),
        ("POST", "/v1/videos/nope/cancel", 404),
        ("GET", "/v1/videos?limit=0", 400),
        ("GET", "/v1/videos?limit=x", 400),
        ("GET", "/v1/videos?order=up", 400),
        ("GET", "/v1/videos?after=%00", 404),
        ("GET", "/v1/videos?after=nope", 200),
        ("POST", "/v1/videos/edits", 405),
        ("PUT", "/v1/videos", 405),
    ],
)
async def test_strange_names_and_pages_are_no_fault_of_ours(client, method, path, status):
    response = await client.request(method, path)
    assert response.status_code == status, response.text


async def test_strangers_and_keys_without_the_model_are_refused(world, key, client):
    async with world.http("nobody") as stranger:
        assert (await stranger.post(VIDEOS, json={"prompt": "x"})).status_code == 401
    world.identifier.allowed[key] = frozenset({"echo"})
    response = await client.post(VIDEOS, json={"prompt": "x"})
    assert (response.status_code, error_of(response)["code"]) == (403, "model_not_allowed")
    assert not (await client.get(f"{VIDEOS}/resolutions")).json()["data"]


async def test_a_full_window_is_said_at_once_and_one_that_fills_later_is_waited_for(world):
    small = await world.tenant("small")
    async with world.http(small) as client:
        world.runner.paused = True
        first, second, third = [await begun(client, seed=n) for n in range(3)]
        for video in (first, second):
            await world.runner.run(video["id"])
        response = await client.post(VIDEOS, json={"prompt": "x"})
        assert (response.status_code, error_of(response)["code"]) == (429, "rate_limit_exceeded")
        waiting = asyncio.ensure_future(world.runner.run(third["id"]))
        await asyncio.sleep(0.2)
        assert (await client.get(f"{VIDEOS}/{third['id']}")).json()["status"] == "in_progress"
        waiting.cancel()


@pytest.mark.parametrize(("plan", "told"), [("poor", "money"), ("brief", "video_pixel_ms")])
async def test_what_would_not_fit_the_budget_is_refused_at_once(world, plan, told):
    async with world.http(await world.tenant(plan)) as client:
        response = await client.post(VIDEOS, json={"prompt": "x", "size": "128x96"})
        assert (response.status_code, error_of(response)["code"]) == (429, "insufficient_quota")
        assert told in error_of(response)["message"]
        assert response.headers["x-should-retry"] == "false"
        assert (await ended(client, (await begun(client, seconds=0.25))["id"]))["status"] == (
            "completed"
        )


async def test_a_tenant_has_only_so_many_videos_under_way(world, client, monkeypatch):
    monkeypatch.setattr("ingress.video_jobs.MAX_WAITING", 2)
    world.runner.paused = True
    first, _ = await begun(client), await begun(client, seed=8)
    response = await client.post(VIDEOS, json={"prompt": "x"})
    assert (response.status_code, error_of(response)["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["retry-after"]
    await client.post(f"{VIDEOS}/{first['id']}/cancel")
    assert (await client.post(VIDEOS, json={"prompt": "x"})).status_code == 200


async def test_a_full_shelf_is_said_before_the_work(world):
    small = await world.tenant("small")
    async with world.http(small) as client:
        await client.post("/v1/media", content=picture() + bytes(99_000))
        await world.database.execute(
            "UPDATE media_storage SET bytes = 100000 WHERE tenant_id = $1", small
        )
        response = await client.post(VIDEOS, json={"prompt": "x"})
    assert (response.status_code, error_of(response)["code"]) == (403, "storage_quota_exceeded")


async def test_nobody_elses_videos(world, client):
    video = await ended(client, (await begun(client))["id"])
    one = f"{VIDEOS}/{video['id']}"
    async with world.http(await world.tenant()) as theirs:
        for response in (
            await theirs.get(one),
            await theirs.get(f"{one}/content"),
            await theirs.get(f"{one}/events"),
            await theirs.delete(one),
            await theirs.post(f"{one}/cancel"),
            await theirs.post(f"{one}/remix", json={"prompt": "mine"}),
        ):
            assert (response.status_code, error_of(response)["code"]) == (404, "not_found")
        assert not (await theirs.get(VIDEOS)).json()["data"]
    assert (await client.get(f"{one}/content")).status_code == 200


async def test_content_in_parts_and_only_when_it_changed(client):
    video = await ended(client, (await begun(client))["id"])
    url = f"{VIDEOS}/{video['id']}/content"
    whole = await client.get(url)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["content-disposition"].startswith("inline")
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = await client.get(url, headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert part.headers["content-range"] == f"bytes 4-7/{len(whole.content)}"
    etag = {"if-none-match": whole.headers["etag"]}
    same = await client.get(url, headers=etag)
    assert (same.status_code, same.content) == (304, b"")
    beyond = await client.get(url, headers={"range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    unknown = await client.get(f"{url}?variant=audio")
    assert (unknown.status_code, error_of(unknown)["param"]) == (400, "variant")


async def test_players_without_a_key_get_a_signed_url(client):
    video = await ended(client, (await begun(client))["id"])
    content = await client.get(f"{VIDEOS}/{video['id']}/content")
    assert video["url"].startswith("http://test/media/")
    played = await client.get(video["url"], headers={"authorization": "", "range": "bytes=4-7"})
    assert (played.status_code, played.content) == (206, content.content[4:8])


async def test_content_that_is_not_there_yet_or_no_longer(world, key, client):
    world.studio.hold_at = 1
    video = await begun(client)
    url = f"{VIDEOS}/{video['id']}/content"
    await world.studio.held.wait()
    early = await client.get(url)
    assert (early.status_code, error_of(early)["code"]) == (409, "conflict")
    assert early.headers["x-should-retry"] == "false"
    polled = await client.get(f"{VIDEOS}/{video['id']}")
    assert int(polled.headers["openai-poll-after-ms"]) > 0
    world.studio.go_on.set()
    await ended(client, video["id"])
    await world.database.execute(
        "UPDATE media SET expires_at = now() - interval '1 s' WHERE tenant_id = $1", key
    )
    late = await client.get(url)
    assert late.status_code == 404
    assert "expired" in error_of(late)["message"]
    assert (await client.get(f"{VIDEOS}/{video['id']}")).json()["url"] is None
    assert (await client.delete(f"{VIDEOS}/{video['id']}")).status_code == 200


async def test_a_cancelled_video_stops_and_costs_what_was_drawn(world, client):
    world.studio.hold_at = 2
    video = await begun(client)
    await world.studio.held.wait()
    assert (await client.delete(f"{VIDEOS}/{video['id']}")).status_code == 409
    cancelled = (await client.post(f"{VIDEOS}/{video['id']}/cancel")).json()
    assert (cancelled["status"], cancelled["error"]["code"]) == ("failed", "cancelled")
    again = await client.post(f"{VIDEOS}/{video['id']}/cancel")
    assert again.status_code == 200
    await asyncio.sleep(0.2)
    (settled,) = world.settlements
    assert (settled.status_code, settled.error_code) == (499, "cancelled")
    assert settled.units == pixel_ms(64, 64, 2)
    content = await client.get(f"{VIDEOS}/{video['id']}/content")
    assert content.status_code == 404


async def test_events_tell_of_progress_until_the_end(world, client):
    world.studio.hold_at = 2
    video = await begun(client)
    await world.studio.held.wait()

    async def go_on():
        await asyncio.sleep(0.7)
        world.studio.go_on.set()

    events, _ = await asyncio.gather(events_of(client, video["id"]), go_on())
    kinds = [event["type"] for event in events]
    assert kinds[0] == "video.in_progress"
    assert kinds[-1] == "video.completed"
    progress = [event["video"]["progress"] for event in events]
    assert progress == sorted(progress)
    assert 0 < progress[0] < 100 == progress[-1]
    assert [event["type"] for event in await events_of(client, video["id"])] == ["video.completed"]


async def test_the_end_is_told_when_it_comes(world, client, monkeypatch):
    monkeypatch.setattr("ingress.video_answers.LOOK_S", 60)
    listening = asyncio.create_task(world.news.run())
    world.studio.hold_at = 2
    video = await begun(client)
    await world.studio.held.wait()
    asyncio.get_running_loop().call_later(1, world.studio.go_on.set)
    async with asyncio.timeout(20):
        events = await events_of(client, video["id"])
    listening.cancel()
    assert events[-1]["type"] == "video.completed"


async def test_a_remix_keeps_the_settings_the_seed_and_the_first_picture(world, sdk, client):
    source = await begun(client, seconds=1, camera="zoom_in", input_reference=data_url(picture()))
    await ended(client, source["id"])
    remix = await sdk.videos.remix(source["id"], prompt="a blue square")
    assert remix.remixed_from_video_id == source["id"]
    video = await ended(client, remix.id)
    assert (video["status"], video["prompt"], video["seconds"]) == (
        "completed",
        "a blue square",
        "1",
    )
    first, second = (call.request for call in world.studio.calls)
    assert second == first.model_copy(update={"prompt": "a blue square"})
    await client.delete(f"{VIDEOS}/{source['id']}")
    assert (
        await client.post(f"{VIDEOS}/{source['id']}/remix", json={"prompt": "x"})
    ).status_code == 404


async def test_videos_of_the_same_bytes_do_not_delete_each_others(world, client):
    one, other = [await ended(client, (await begun(client))["id"]) for _ in range(2)]
    await client.delete(f"{VIDEOS}/{one['id']}")
    assert (await client.get(f"{VIDEOS}/{other['id']}/content")).status_code == 200


async def test_the_first_picture_goes_with_its_video(world, key, client):
    video = await begun(client, input_reference=data_url(picture()))
    await ended(client, video["id"])
    assert len((await client.get("/v1/media")).json()["data"]) == 4
    await client.delete(f"{VIDEOS}/{video['id']}")
    assert not (await client.get("/v1/media")).json()["data"]


async def test_a_picture_that_is_a_file_too_outlives_its_video_and_the_video_the_file(
    world, client
):
    upload = {"file": ("in.png", picture(), "image/png")}
    file = (await client.post("/v1/files", files=upload, data={"purpose": "user_data"})).json()
    one, other = [
        await ended(client, (await begun(client, input_reference={"file_id": file["id"]}))["id"])
        for _ in range(2)
    ]
    await client.delete(f"{VIDEOS}/{one['id']}")
    content = await client.get(f"/v1/files/{file['id']}/content")
    assert (content.status_code, content.content) == (200, picture())
    await client.delete(f"/v1/files/{file['id']}")
    remixed = await client.post(f"{VIDEOS}/{other['id']}/remix", json={"prompt": "x"})
    assert remixed.status_code == 200, remixed.text
    await ended(client, remixed.json()["id"])


async def test_what_can_be_drawn_is_told_without_waking_anybody(world, client):
    models = (await client.get(f"{VIDEOS}/resolutions")).json()["data"]
    assert [model["id"] for model in models] == ["starter-video", "painter"]
    assert models[0]["sizes"] == ["64x64", "128x96"]
    assert models[0]["max_seconds"] == {"4": 4.25, "8": 2.125, "16": 1.062}
    assert {"pan_left", "zoom_in", "orbit_right"} < set(models[0]["camera"])
    assert models[1]["camera"] == []
    older = (await client.get("/resolutions")).json()
    assert older["resolutions"][0] == {"name": "64x64", "width": 64, "height": 64}
    assert older["fps"] == [4, 8, 16]
    assert not world.studio.calls


async def test_the_older_path_begins_the_same_job(client):
    body = {"prompt": "x", "resolution": "128x96", "duration": 1, "camera_movement": "orbit_left"}
    answer = (await client.post("/api/v1/generate/video", json=body)).json()
    assert (answer["success"], answer["resolution"], answer["duration"]) == (True, "128x96", 1.0)
    assert (await ended(client, answer["video_id"]))["status"] == "completed"
    assert (await client.get(answer["video_url"])).status_code == 200
