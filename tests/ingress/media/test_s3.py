"""Blobs in an S3-compatible store: a real client against a real HTTP server of the protocol."""

import asyncio
import hashlib

import pytest
from moto.server import ThreadedMotoServer

from core.errors import NotFound, StoreUnavailable
from ingress.media.blobs import PIECE_BYTES, Blobs
from tests.ingress.media.conftest import png


@pytest.fixture
def options(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield {"endpoint_url": f"http://{host}:{port}", "skip_instance_cache": True}
    server.stop()


@pytest.fixture
async def blobs(options):
    blobs = Blobs("s3://media/prefix", options)
    await asyncio.to_thread(blobs._files.mkdir, "media")
    return blobs


async def test_blobs_are_written_read_in_parts_and_deleted(blobs, options):
    data = png(2 * PIECE_BYTES + 17)
    name = hashlib.sha256(data).hexdigest()
    with pytest.raises(NotFound):
        await blobs.size(name)
    for _ in range(2):
        await blobs.write(name, data)
    other = Blobs("s3://media/prefix", options)
    assert await other.size(name) == len(data)
    assert b"".join([piece async for piece in other.pieces(name, 5, len(data))]) == data[5:]
    for _ in range(2):
        await other.delete(name)
    with pytest.raises(NotFound):
        await blobs.size(name)
    await blobs.sweep_drafts()


async def test_a_bucket_that_is_not_there_is_an_outage(options):
    with pytest.raises(StoreUnavailable):
        await Blobs("s3://nowhere/prefix", options).write("a" * 64, b"x")
