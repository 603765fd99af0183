"""Uploads, lists and deletions over HTTP, within a tenant's plan."""

import hashlib

import pytest

from core.errors import LimitReached
from ingress.media.room import UploadRoom
from tests.ingress.media.conftest import UPLOAD_BYTES, png


@pytest.fixture
async def tenant(media):
    tenant = await media.tenant()
    media.client.headers["authorization"] = f"Bearer {tenant}"
    return tenant


def error_of(response):
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("form", [True, False])
async def test_an_upload_can_be_read_back_by_its_url(media, tenant, form):
    data = png()
    more = {"files": {"file": ("a.png", data, "text/html")}} if form else {"content": data}
    response = await media.client.post("/v1/media", **more)
    assert response.status_code == 201
    item = response.json()
    assert item["id"] == hashlib.sha256(data).hexdigest()
    assert (item["object"], item["media_type"], item["bytes"]) == ("media", "image/png", len(data))
    assert item["expires_at"] - item["created_at"] == pytest.approx(30 * 86_400, abs=5)
    assert item["url"].startswith("http://test/media/")
    del media.client.headers["authorization"]
    assert (await media.client.get(item["url"])).content == data


async def test_the_url_follows_how_the_caller_reached_us(media, tenant):
    for headers, start in (
        ({"host": "ai.example.org", "x-forwarded-proto": "https"}, "https://ai.example.org/media/"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000/media/"),
        ({"host": "evil.example/x?"}, "/media/"),
        ({"x-forwarded-proto": "javascript"}, "/media/"),
    ):
        response = await media.client.post("/v1/media", content=png(), headers=headers)
        assert response.json()["url"].startswith(start)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\xff\xd8\xff\xe0" + b"x" * 20, "image/jpeg"),
        (b"GIF89a" + b"x" * 20, "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x20ftypisom" + b"x" * 20, "video/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "video/webm"),
        (b"ID3\x04" + b"x" * 20, "audio/mpeg"),
        (b"\xff\xfb\x90\x64" + b"x" * 20, "audio/mpeg"),
        (b"fLaC" + b"x" * 20, "audio/flac"),
        (b"OggS" + b"\0" * 24 + b"OpusHead", "audio/ogg"),
    ],
)
async def test_the_content_says_what_it_is(media, tenant, data, media_type):
    response = await media.client.post("/v1/media", content=data + png())
    assert response.json()["media_type"] == media_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"MZ\x90\x00",
        b"PK\x03\x04",
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\0\x20ftypheic",
        b"\x1a\x45\xdf\xa3\x42\x82\x88matroska",
        b"OggS" + b"\0" * 24 + b"\x80theora",
        b"\xff\xf1\x50\x80" + b"x" * 20,
    ],
)
async def test_other_content_is_refused_whatever_it_is_called(media, tenant, data):
    response = await media.client.post(
        "/v1/media", content=data, headers={"content-type": "image/png"}
    )
    assert error_of(response) == (415, "unsupported_media_type")
    assert (await media.client.get("/v1/media")).json()["storage"]["used_bytes"] == 0


async def test_a_form_with_anything_else_is_refused(media, tenant):
    file = ("a.png", png())
    response = await media.client.post("/v1/media", files={"file": file}, data={"tenant": "x"})
    assert error_of(response) == (400, "unknown_parameter")
    response = await media.client.post("/v1/media", files={"picture": file})
    assert error_of(response) == (400, "invalid_request")


async def test_an_upload_over_the_limit_is_refused_declared_or_not(media, tenant):
    async def chunks():
        for _ in range(11):
            yield png(10_000)

    for content in (png(UPLOAD_BYTES + 1), chunks()):
        response = await media.client.post("/v1/media", content=content)
        assert error_of(response) == (413, "body_too_large")


async def test_a_full_plan_refuses_until_something_is_deleted(media, tenant):
    first = (await media.client.post("/v1/media", content=png(6_000))).json()
    response = await media.client.post("/v1/media", content=png(6_000))
    assert error_of(response) == (403, "storage_quota_exceeded")
    listed = (await media.client.get("/v1/media")).json()
    storage = listed["storage"]
    assert (storage["used_bytes"], storage["limit_bytes"]) == (6_000, 10_000)
    assert {each["scope"]: each["remaining"] for each in storage["by_scope"]} == {
        "tenant": 4_000,
        "key": None,
    }
    assert [item["id"] for item in listed["data"]] == [first["id"]]
    await media.client.delete(f"/v1/media/{first['id']}")
    assert (await media.client.post("/v1/media", content=png(6_000))).status_code == 201


async def test_a_deleted_upload_is_gone_at_once_and_caches_are_told(media, tenant):
    item = (await media.client.post("/v1/media", content=png())).json()
    path = f"/v1/media/{item['id']}"
    assert (await media.client.delete(path)).json() == {
        "id": item["id"],
        "object": "media",
        "deleted": True,
    }
    assert [media.hash for media in media.purged] == [item["id"]]
    for response in (
        await media.client.get(item["url"]),
        await media.client.get(path),
        await media.client.delete(path),
    ):
        assert error_of(response) == (404, "not_found")
    assert not (await media.client.get("/v1/media")).json()["data"]


async def test_other_tenants_see_and_delete_nothing_of_mine(media, tenant):
    item = (await media.client.post("/v1/media", content=png())).json()
    stranger = {"authorization": f"Bearer {await media.tenant()}"}
    path = f"/v1/media/{item['id']}"
    assert (await media.client.get(path, headers=stranger)).status_code == 404
    assert (await media.client.delete(path, headers=stranger)).status_code == 404
    assert not (await media.client.get("/v1/media", headers=stranger)).json()["data"]
    assert (await media.client.get(item["url"])).status_code == 200


async def test_the_same_content_of_two_tenants_is_one_blob_with_two_owners(media, tenant):
    data = png()
    mine = (await media.client.post("/v1/media", content=data)).json()
    other = {"authorization": f"Bearer {await media.tenant()}"}
    theirs = (await media.client.post("/v1/media", content=data, headers=other)).json()
    assert mine["id"] == theirs["id"]
    assert mine["url"] != theirs["url"]
    await media.client.delete(f"/v1/media/{mine['id']}")
    assert (await media.client.get(mine["url"])).status_code == 404
    assert (await media.client.get(theirs["url"])).content == data
    await media.client.delete(f"/v1/media/{mine['id']}", headers=other)
    assert (await media.client.get(theirs["url"])).status_code == 404


async def test_lists_are_pages_in_either_order(media, tenant):
    ids = [(await media.client.post("/v1/media", content=png(100))).json()["id"] for _ in range(5)]
    for order, expected in (("asc", ids), ("desc", ids[::-1])):
        seen: list[str] = []
        query = f"/v1/media?limit=2&order={order}"
        while True:
            page = (await media.client.get(query + (f"&after={seen[-1]}" if seen else ""))).json()
            assert page["first_id"] == page["data"][0]["id"]
            seen += [item["id"] for item in page["data"]]
            if not page["has_more"]:
                break
        assert seen == expected


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/v1/media?limit=0", "limit"),
        ("/v1/media?limit=101", "limit"),
        ("/v1/media?after=x%00", "after"),
        ("/v1/media?order=up", "order"),
    ],
)
async def test_a_bad_question_names_its_field(media, tenant, path, param):
    response = await media.client.get(path)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("name", ["x", "%00", "..%2f..", "A" * 64, "a" * 65])
async def test_what_is_no_hash_is_not_found(media, tenant, name):
    assert (await media.client.get(f"/v1/media/{name}")).status_code == 404
    assert (await media.client.delete(f"/v1/media/{name}")).status_code == 404


async def test_nothing_of_the_library_is_open_to_strangers(media):
    for method, path in (
        ("POST", "/v1/media"),
        ("GET", "/v1/media"),
        ("GET", f"/v1/media/{'a' * 64}"),
        ("DELETE", f"/v1/media/{'a' * 64}"),
    ):
        assert (await media.client.request(method, path)).status_code == 401


def test_room_for_uploads_is_shared_and_given_back():
    room = UploadRoom(total=100, share=60)
    room.take("a", 60)
    for tenant, size in (("a", 1), ("b", 41)):
        with pytest.raises(LimitReached):
            room.take(tenant, size)
    room.take("b", 40)
    room.give("b", 40)
    room.give("a", 60)
    room.take("a", 60)
