"""Whatever path a large body comes by, it is not read while there is no room for it."""

import re

import pytest

from ingress.uploads import SMALL_BODY, WITHOUT_BODY, largest_body
from tests.ingress.whole_gateway import whole_gateway

BIG = 2 * SMALL_BODY


class Body:
    """Says that it is large, and whether anybody began to read it."""

    def __init__(self):
        self.was_read = False

    async def __aiter__(self):
        self.was_read = True
        yield b"{}"


@pytest.fixture
async def gateway(database_url, valkey_server, tmp_path):
    async with whole_gateway(database_url, valkey_server.url, tmp_path) as whole:
        key = (await whole.world.owner())["access_token"]
        yield whole.world, (await whole.world.identifier.identify(key)).tenant_id, key


def large(world):
    """Endpoints that take a large body."""
    table = world.application.endpoints
    return [e for e in table if e.method not in WITHOUT_BODY and e.max_body_bytes > SMALL_BODY]


async def test_every_endpoint_of_large_bodies_waits_for_room(gateway):
    world, tenant, key = gateway
    (room,) = {endpoint.room for endpoint in large(world)}
    room.take(tenant, 2 * largest_body(large(world)))
    async with world.client(key) as client:
        for endpoint in large(world):
            body = Body()
            answer = await client.request(
                endpoint.method,
                re.sub(r"{\w+(:path)?}", "x", endpoint.path),
                content=body,
                headers={"content-length": str(BIG), "content-type": "application/json"},
            )
            assert (answer.status_code, body.was_read) == (429, False), endpoint.path
            assert answer.json()["error"]["message"] == "too many uploads at once"


async def test_small_bodies_pass_by_and_other_tenants_are_not_kept_out(gateway):
    world, tenant, key = gateway
    (room,) = {endpoint.room for endpoint in large(world)}
    room.take(tenant, 2 * largest_body(large(world)))
    chat = {"model": "echo", "messages": [{"role": "user", "content": "x" * 1_000}]}
    assert (await world.post("/v1/chat/completions", chat, key)).status_code == 200
    assert (await world.post("/v1/images/edits", {"prompt": "a"}, key)).status_code == 400
    other = {"prompt": "a", "image": "x" * BIG}
    assert (await world.post("/v1/images/edits", other, world.operator)).status_code == 400


async def test_strangers_are_refused_before_their_body_is_read(gateway):
    world, _, _ = gateway
    async with world.client("ck-nobody-nothing") as client:
        for path in ("/v1/images/edits", "/v1/audio/transcriptions", "/v1/embeddings"):
            body = Body()
            answer = await client.post(path, content=body, headers={"content-length": str(BIG)})
            assert (answer.status_code, body.was_read) == (401, False), path
