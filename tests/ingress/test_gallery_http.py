"""Image workflows over HTTP, and the gallery that keeps what they made."""

import asyncio
import base64
import hashlib
import json
import secrets

import pytest
from pydantic import SecretStr

from auth.database import Database
from core.errors import StoreUnavailable
from core.model import Reply
from core.work import NO_WORK
from tests.fakes.atelier import circle, opened, seen
from tests.ingress.gallery_world import GalleryWorld, data_url

RUN, GALLERY = "/v1/images/workflows", "/v1/gallery"
PROMPT = "a red circle on a blue background"
SMALL = {"generate": {"size": "64x64"}}


@pytest.fixture
async def world(database_url, tmp_path):
    database = Database(SecretStr(database_url))
    yield GalleryWorld(database, tmp_path / "media")
    await database.aclose()


@pytest.fixture
async def key(world):
    return await world.tenant()


@pytest.fixture
async def client(world, key):
    async with world.http(key) as client:
        yield client


def error_of(response):
    error = response.json()["error"]
    assert "Traceback" not in response.text
    return response.status_code, error["code"], error["param"]


async def made(client, **fields):
    response = await client.post(RUN, json={"prompt": PROMPT} | fields)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(client, query=""):
    response = await client.get(f"{GALLERY}?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_workflow_answers_urls_and_is_billed_for_what_its_steps_did(world, client):
    body = await made(client, describe=True, upscale=True, seed=7)
    (picture,) = body["data"]
    assert "b64_json" not in str(body)
    content = (await client.get(picture["url"])).content
    assert hashlib.sha256(content).hexdigest() == picture["media"]
    assert opened(content).size == (128, 128)
    drawn, _, larger = picture["stages"]
    assert seen((await client.get(drawn["url"])).content) == ("red", "blue")
    assert larger["media"] == picture["media"] != drawn["media"]
    (billed,) = world.billed
    assert billed.nonzero() == body["usage"]


async def test_the_gallery_keeps_how_a_picture_came_to_be(client):
    body = await made(client, describe=True, seed=7, tags=["Demo 1", "demo", "demo"])
    (picture,) = body["data"]
    item = (await client.get(f"{GALLERY}/{picture['gallery_id']}")).json()
    assert {name: item[name] for name in ("prompt", "seed", "model", "size", "description")} == {
        "prompt": PROMPT,
        "seed": 7,
        "model": "image-workflow",
        "size": "64x64",
        "description": "a red circle on a blue background",
    }
    assert (item["object"], item["tags"]) == ("gallery.item", ["Demo 1", "demo"])
    assert (item["media"], item["media_type"]) == (picture["media"], "image/png")
    assert item["expires_at"] - item["created_at"] == pytest.approx(30 * 86_400, abs=5)
    assert [stage["stage"] for stage in item["stages"]] == ["generate", "describe"]
    assert item["stages"][1]["match"]["score"] == 1.0
    assert seen((await client.get(item["url"])).content) == ("red", "blue")


async def test_pictures_can_be_answered_in_base64_and_kept_nowhere(world, client, key):
    body = await made(client, response_format="b64_json", gallery=False, describe=True)
    (picture,) = body["data"]
    assert seen(base64.b64decode(picture["b64_json"])) == ("red", "blue")
    assert not {"url", "media", "gallery_id"} & picture.keys()
    assert await world.stored(key) == set()
    both = await made(client, response_format="b64_json")
    assert {"b64_json", "url", "gallery_id"} <= both["data"][0].keys()
    urls = await made(client, gallery=False)
    assert "gallery_id" not in urls["data"][0]
    assert len((await listed(client))["data"]) == 1


async def test_any_caller_may_use_the_graph_as_a_model(world, client, key):
    response = await client.post(
        "/v1/models/image-workflow/image_workflow", json={"prompt": PROMPT, "describe": True}
    )
    (picture,) = response.json()["data"]
    assert seen(base64.b64decode(picture["b64_json"])) == ("red", "blue")
    assert await world.stored(key) == set()
    refused = await client.post(
        "/v1/models/image-workflow/image_workflow", json={"prompt": PROMPT, "tags": ["x"]}
    )
    assert error_of(refused) == (400, "unknown_parameter", "tags")


async def test_pages_are_newest_first_and_found_by_words_and_tags(client):
    prompts = ["a red circle", "a green circle on white", "a yellow circle"]
    for number, prompt in enumerate(prompts):
        await made(client, prompt=prompt, tags=[f"n{number}", "all"], seed=number)
    found = await listed(client, "limit=2")
    assert [item["prompt"] for item in found["data"]] == prompts[:0:-1]
    assert found["has_more"]
    rest = await listed(client, f"limit=2&after={found['last_id']}")
    assert [item["prompt"] for item in rest["data"]] == [prompts[0]]
    assert not rest["has_more"]
    for query, expected in (
        ("q=GREEN", [1]),
        ("q=circle+green", [1]),
        ("q=gree", []),
        ("q=red+green", []),
        ("q=", [2, 1, 0]),
        ("tag=n2", [2]),
        ("tag=all&q=red", [0]),
        ("tag=none", []),
        ("q=%27%3B--", []),
        ("tag=%00", []),
    ):
        data = (await listed(client, query))["data"]
        assert [item["prompt"] for item in data] == [prompts[i] for i in expected], query


async def test_deleting_an_item_deletes_its_pictures_and_no_others(world, client, key):
    first = await made(client, seed=1, upscale=True)
    other = await made(client, seed=2, prompt="a green circle", upscale=True)
    (item,) = first["data"]
    response = await client.delete(f"{GALLERY}/{item['gallery_id']}")
    assert response.json() == {
        "id": item["gallery_id"],
        "object": "gallery.item",
        "deleted": True,
    }
    assert (await client.get(item["url"])).status_code == 404
    assert (await client.get(f"{GALLERY}/{item['gallery_id']}")).status_code == 404
    assert (await client.delete(f"{GALLERY}/{item['gallery_id']}")).status_code == 404
    kept = other["data"][0]
    assert await world.stored(key) == {kept["media"], kept["stages"][0]["media"]}
    assert len((await listed(client))["data"]) == 1


async def test_a_picture_of_two_items_stays_until_the_last_of_them_goes(world, client, key):
    # The painter draws the same for both seeds: two items, one picture.
    body = await made(client, seeds=[1, 2])
    one, two = body["data"]
    assert one["media"] == two["media"]
    assert one["gallery_id"] != two["gallery_id"]
    await client.delete(f"{GALLERY}/{one['gallery_id']}")
    assert (await client.get(two["url"])).status_code == 200
    await client.delete(f"{GALLERY}/{two['gallery_id']}")
    assert await world.stored(key) == set()


async def test_deleted_and_expired_media_leave_the_gallery(world, client, key):
    body = await made(client, seed=1, upscale=True)
    (item,) = body["data"]
    drawn = item["stages"][0]["media"]
    await client.delete(f"/v1/media/{drawn}")
    shown = (await client.get(f"{GALLERY}/{item['gallery_id']}")).json()
    assert (shown["stages"][0]["media"], shown["stages"][0]["url"]) == (drawn, None)
    await world.database.execute(
        "UPDATE media SET expires_at = now() - interval '1 s' WHERE tenant_id = $1", key
    )
    assert (await client.get(f"{GALLERY}/{item['gallery_id']}")).status_code == 404
    assert (await listed(client))["data"] == []
    await world.store.sweep()
    rows = await world.database.fetch("SELECT id FROM gallery_items WHERE tenant_id = $1", key)
    assert rows == []


async def test_a_file_of_the_same_bytes_does_not_take_the_gallerys_picture_away(client):
    body = await made(client, seed=1)
    (item,) = body["data"]
    content = (await client.get(item["url"])).content
    upload = {"file": ("a.png", content)}
    file = await client.post("/v1/files", files=upload, data={"purpose": "user_data"})
    await client.delete(f"/v1/files/{file.json()['id']}")
    assert (await client.get(f"{GALLERY}/{item['gallery_id']}")).status_code == 200


async def test_the_same_seeds_again_are_the_same_items_from_the_cache(world, client):
    first = await made(client, seed=1)
    again = await made(client, seed=1)
    assert len(world.graph.requests) == 1
    assert first["data"][0]["gallery_id"] == again["data"][0]["gallery_id"]
    assert len((await listed(client))["data"]) == 1
    await made(client)
    await made(client)
    assert len(world.graph.requests) == 3  # without a seed, others each time


async def test_a_picture_of_the_gallery_can_be_worked_on_again(client):
    body = await made(client, seed=1)
    blob = body["data"][0]["media"]
    larger = await made(client, prompt=None, images=[{"media": blob}], upscale={"factor": 3})
    assert larger["data"][0]["size"] == "192x192"
    pictures = [data_url(circle("green", "white")), {"url": data_url(circle("red", "white"))}]
    two = await made(client, prompt="a green circle", images=pictures, describe=True)
    assert [picture["match"]["score"] for picture in two["data"]] == [1.0, 0.5]


async def test_another_tenants_pictures_are_not_there(world, client):
    body = await made(client, seed=1)
    (item,) = body["data"]
    async with world.http(await world.tenant()) as other:
        assert (await listed(other))["data"] == []
        assert (await listed(other, f"after={item['gallery_id']}"))["data"] == []
        for method in ("GET", "DELETE"):
            response = await other.request(method, f"{GALLERY}/{item['gallery_id']}")
            assert response.status_code == 404
        for place, fields in (
            ("images.0.media", {"images": [{"media": item["media"]}], "describe": True}),
            (
                "generate.control_image.media",
                {"generate": {"controlnet": "x", "control_image": {"media": item["media"]}}},
            ),
        ):
            response = await other.post(RUN, json={"prompt": PROMPT} | fields)
            assert error_of(response) == (404, "not_found", place)
        same = await made(other, seed=1)
        assert same["data"][0]["media"] == item["media"]  # the same bytes, each tenant's own
        assert same["data"][0]["gallery_id"] != item["gallery_id"]
        await other.delete(f"{GALLERY}/{same['data'][0]['gallery_id']}")
    assert (await client.get(item["url"])).status_code == 200


async def test_without_room_nothing_is_drawn_and_what_does_not_fit_is_not_kept(world):
    key = await world.tenant("small")
    async with world.http(key) as client:
        response = await client.post(
            RUN, json={"prompt": PROMPT, "generate": {"size": "512x512"}, "variations": 2}
        )
        assert error_of(response)[:2] == (403, "storage_quota_exceeded")
        assert await world.stored(key) == set()
        assert (await listed(client))["data"] == []
        content = b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(992)
        await client.post("/v1/media", content=content)
        response = await client.post(RUN, json={"prompt": PROMPT})
        assert error_of(response)[:2] == (403, "storage_quota_exceeded")
    assert len(world.graph.requests) == 1


async def test_when_the_gallery_cannot_be_written_no_picture_stays(world, client, key, monkeypatch):
    kept = (await made(client, seed=1, prompt="a green circle"))["data"][0]["media"]

    async def away(*_):
        raise StoreUnavailable("the database does not answer")

    monkeypatch.setattr(world.book, "add", away)
    response = await client.post(
        RUN, json={"prompt": ["a green circle", "a red circle"], "seed": 1, "upscale": True}
    )
    assert error_of(response)[:2] == (503, "store_unavailable")
    assert await world.stored(key) == {kept}


async def test_a_caller_who_goes_while_pictures_are_kept_finds_all_of_them(
    world, client, key, monkeypatch
):
    begun, go_on, put = asyncio.Event(), asyncio.Event(), world.store.put

    async def slowly(*arguments):
        begun.set()
        await go_on.wait()
        return await put(*arguments)

    monkeypatch.setattr(world.store, "put", slowly)
    request = asyncio.ensure_future(made(client, seed=1, upscale=True))
    await begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    go_on.set()
    async with asyncio.timeout(10):
        while True:
            if data := (await listed(client))["data"]:
                break
            await asyncio.sleep(0.01)
    assert await world.stored(key) == {data[0]["media"], data[0]["stages"][0]["media"]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prompt": None}, (400, "invalid_request", "prompt")),
        ({"prompt": ""}, (400, "invalid_request", "prompt.0")),
        ({"tags": ["<b>"]}, (400, "invalid_request", "tags.0")),
        ({"tags": ["x"] * 17}, (400, "invalid_request", "tags")),
        ({"response_format": "gif"}, (400, "invalid_request", "response_format")),
        ({"gallery": "perhaps"}, (400, "invalid_request", "gallery")),
        ({"tenant": "t"}, (400, "unknown_parameter", "tenant")),
        ({"model": "echo"}, (404, "model_not_found", "model")),
        ({"images": ["x"], "describe": True}, (400, "invalid_request", "images.0")),
        ({"images": [7], "describe": True}, (400, "invalid_request", "images.0")),
        ({"images": [{"media": "x"}]}, (404, "not_found", "images.0.media")),
        ({"images": {"media": "x"}}, (400, "invalid_request", "images")),
        ({"images": ["http://127.0.0.1/x.png"]}, (400, "invalid_request", "images.0")),
        ({"generate": {"lora": "ghibli"}}, (400, "invalid_request", "generate.lora")),
        ({"refine": {"rounds": 9}}, (400, "invalid_request", "refine.rounds")),
    ],
)
async def test_a_bad_request_names_its_place_and_stores_nothing(
    world, client, key, fields, expected
):
    response = await client.post(RUN, json={"prompt": PROMPT} | fields)
    assert error_of(response) == expected
    assert set(world.billed) <= {NO_WORK}
    assert await world.stored(key) == set()


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("page=2", "page"), (f"q={'x' * 201}", "q")],
)
async def test_a_bad_query_is_refused(client, query, param):
    assert error_of(await client.get(f"{GALLERY}?{query}"))[::2] == (400, param)


async def test_odd_prompts_are_kept_as_far_as_they_can_be_written(client):
    odd = "a red circle \x00 ' \" {} % \\u0000 ☃"
    body = await made(client, prompt=odd, describe=True)
    item = (await client.get(f"{GALLERY}/{body['data'][0]['gallery_id']}")).json()
    assert item["prompt"] == odd.replace("\x00", " ")
    assert (await client.get(f"{GALLERY}/%00")).status_code == 404


async def test_words_on_a_picture_are_kept_whatever_they_look_like(world, client, monkeypatch):
    said = 'a sign that says "\\u0000" and "\x00"'

    async def reads(operation, request, call):
        return Reply(json.dumps({"text": said}).encode())

    monkeypatch.setattr(world.graph.workflow.viewer, "answer", reads)
    (picture,) = (await made(client, describe=True))["data"]
    item = (await client.get(f"{GALLERY}/{picture['gallery_id']}")).json()
    assert item["stages"][1]["text"] == said.replace("\x00", " ")


async def test_nothing_answers_without_a_key(client):
    for method, path in (("POST", RUN), ("GET", GALLERY), ("GET", f"{GALLERY}/pic-1")):
        response = await client.request(method, path, headers={"authorization": ""})
        assert response.status_code == 401
