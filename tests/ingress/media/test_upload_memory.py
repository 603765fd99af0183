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
from tests.ingress.media.conftest import UPLOAD_BYTES, png


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
        Library(path, media.store, UPLOAD_BYTES, room),
        Files(path, FileBook(media.database), media.store, room),
    )
    table = [once.applied(each) for part in parts for each in part.endpoints()]
    transport = httpx.ASGITransport(Application(table, "test"), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        client.headers["authorization"] = f"Bearer {await media.tenant('open')}"
        yield client, room
    await pipeline.aclose()


@pytest.mark.parametrize("key", [None, "k1"], ids=["plain", "with-idempotency-key"])
async def test_a_second_upload_without_room_is_refused_before_it_is_read(uploads, key):
    client, room = uploads
    headers = {} if key is None else {"idempotency-key": key}
    data = png()
    first, second = Gate(data), Gate(png())
    uploading = asyncio.create_task(client.post("/v1/media", content=first, headers=headers))
    await first.asked.wait()
    # Without a length the largest is what may come.
    refused = await client.post("/v1/media", content=second, headers={"idempotency-key": "k2"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert not second.asked.is_set()
    other = await client.post("/v1/files", content=Gate(png()))
    assert other.status_code == 429
    first.open.set()
    assert (await uploading).status_code == 201
    await asyncio.sleep(0)
    assert (await client.post("/v1/media", content=data)).status_code == 201
    with pytest.raises(LimitReached):
        room.take("x", UPLOAD_BYTES + 1)
    room.take("x", UPLOAD_BYTES)


async def test_room_is_given_back_whatever_becomes_of_an_upload(uploads):
    client, room = uploads
    for _ in range(5):
        for headers in ({}, {"idempotency-key": "bad"}):
            refused = await client.post("/v1/media", content=b"not a picture", headers=headers)
            assert refused.status_code == 415
            wrong = await client.post("/v1/files", files={"file": b"x"}, headers=headers)
            assert wrong.status_code in (400, 409)
    for tenant in ("x", "y"):
        room.take(tenant, UPLOAD_BYTES)
