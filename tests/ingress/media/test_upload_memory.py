"""Uploads are bounded in memory before they are read, however they come."""

import asyncio
import secrets

import httpx
import pytest
from pydantic import SecretStr

from auth.files import FileBook
from auth.idempotency import IdempotencyBook
from auth.pipeline import Pipeline
from core.errors import LimitReached
from ingress.application import Application
from ingress.files import Files
from ingress.idempotency import Idempotency
from ingress.media.library import Library
from ingress.media.room import UploadRoom
from ingress.uploads import Uploads
from tests.ingress.media.conftest import png

UPLOAD_BYTES = 4 * 2**20
LARGE = 3 * 2**20


class Gate:
    """A body of which the first part has come, and the rest waits."""

    def __init__(self, data: bytes):
        self.data = data
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def __aiter__(self):
        self.asked.set()
        yield self.data[:10]
        await self.open.wait()
        yield self.data[10:]


@pytest.fixture
async def uploads(media, valkey_server):
    """A gateway whose room is one largest upload, half of it for a tenant."""
    pipeline = Pipeline(SecretStr(valkey_server.url))
    room = UploadRoom(2 * UPLOAD_BYTES, UPLOAD_BYTES)
    path = media.path
    once = Idempotency(path, IdempotencyBook(pipeline, f"test-{secrets.token_hex(4)}"))
    parts = (
        Library(path, media.store, UPLOAD_BYTES),
        Files(path, FileBook(media.database), media.store),
    )
    around = Uploads(path, room)
    table = [around.applied(once.applied(each)) for part in parts for each in part.endpoints()]
    transport = httpx.ASGITransport(Application(table, "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        client.headers["authorization"] = f"Bearer {await media.tenant('open')}"
        yield client, room
    await pipeline.aclose()


@pytest.mark.parametrize("key", [None, "k1"], ids=["plain", "with-idempotency-key"])
async def test_a_second_upload_without_room_is_refused_before_it_is_read(uploads, key):
    client, room = uploads
    length = {"content-length": str(LARGE)}
    headers = length if key is None else length | {"idempotency-key": key}
    data = png(LARGE)
    first, second = Gate(data), Gate(png(LARGE))
    uploading = asyncio.create_task(client.post("/v1/media", content=first, headers=headers))
    await first.asked.wait()
    twice = length | {"idempotency-key": "k2"}
    refused = await client.post("/v1/media", content=second, headers=twice)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert not second.asked.is_set()
    other = await client.post("/v1/files", content=Gate(png(LARGE)), headers=length)
    assert other.status_code == 429
    assert (await client.post("/v1/media", content=png())).status_code == 201, "a small one"
    first.open.set()
    assert (await uploading).status_code == 201
    await asyncio.sleep(0)
    assert (await client.post("/v1/media", content=data)).status_code == 201
    with pytest.raises(LimitReached):
        room.take("x", UPLOAD_BYTES + 1)
    room.take("x", UPLOAD_BYTES)


async def test_a_body_of_unknown_length_is_refused_when_it_outgrows_the_room(uploads):
    client, room = uploads
    room.take("somebody", UPLOAD_BYTES)
    room.take("somebody else", UPLOAD_BYTES - 2 * 2**20)
    fits, grows = Gate(png(2**20)), Gate(png(LARGE))
    for body in (fits, grows):
        body.open.set()
    assert (await client.post("/v1/media", content=fits)).status_code == 201
    assert (await client.post("/v1/media", content=grows)).status_code == 429
    room.take("x", 2 * 2**20)


async def test_room_is_given_back_whatever_becomes_of_an_upload(uploads):
    client, room = uploads
    for _ in range(5):
        for headers in ({}, {"idempotency-key": "bad"}):
            refused = await client.post("/v1/media", content=bytes(LARGE), headers=headers)
            assert refused.status_code == 415
            wrong = await client.post("/v1/files", files={"file": bytes(LARGE)}, headers=headers)
            assert wrong.status_code in (400, 409)
    for tenant in ("x", "y"):
        room.take(tenant, UPLOAD_BYTES)
