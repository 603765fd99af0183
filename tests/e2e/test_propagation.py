"""What operators and owners change holds on every gateway replica within a second.

Each replica is asked by its own port, behind HAProxy, and has the key in its memory beforehand.
"""

import asyncio
import time

import pytest

from tests.e2e.cluster import GATEWAYS

WITHIN_S = 1.0
CHAT = "/v1/chat/completions"


async def ask(url, person):
    """A call through one gateway replica, never from the cache."""
    body = {"model": "echo", "messages": [{"role": "user", "content": "still?"}]}
    async with person.http(url) as client:
        return await client.post(CHAT, json=body, headers={"cache-control": "no-store"})


async def seen_after(url, person, is_seen, started):
    """Seconds from `started` until the replica at `url` answers as it should."""
    while not is_seen(answer := await ask(url, person)):
        assert time.monotonic() - started < 10, answer.text
    return time.monotonic() - started


def revoked(http, person, key_id):
    return http.delete(f"/v1/api-keys/{key_id}")


def edited(http, person, key_id):
    return http.patch(f"/v1/api-keys/{key_id}", json={"allowed_models": ["starter-chat"]})


def limited(http, person, key_id):
    return http.patch(f"/v1/api-keys/{key_id}", json={"limits": {"requests": {"day": 1}}})


def moved(http, person, key_id):
    return http.put(f"/v1/admin/tenants/{person.tenant_id}", json={"plan": "pro"})


def switched_off(http, person, key_id):
    return http.put(f"/v1/admin/tenants/{person.tenant_id}", json={"is_active": False})


CHANGES = {
    "a key is revoked": (revoked, lambda answer: answer.status_code == 401),
    "a key may use other models": (edited, lambda answer: answer.status_code == 403),
    "a key gets a limit": (limited, lambda answer: answer.status_code == 429),
    "a tenant moves to another plan": (
        moved,
        lambda answer: answer.headers.get("x-ratelimit-limit") == "1000",
    ),
    "a tenant is switched off": (switched_off, lambda answer: answer.status_code == 401),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_holds_on_every_gateway_replica(cluster, operator, free, figure, name):
    change, is_seen = CHANGES[name]
    urls = cluster.gateway_urls()
    assert len(urls) == GATEWAYS
    for url in urls:
        for _ in range(2):
            answer = await ask(url, free)
            assert answer.status_code == 200
            assert not is_seen(answer)
    async with operator.http() as http, free.http() as own:
        (key,) = (await own.get("/v1/api-keys")).json()["data"]
        by = http if change in (moved, switched_off) else own
        started = time.monotonic()
        response = await change(by, free, key["id"])
        assert response.status_code in (200, 204), response.text
    taken = await asyncio.gather(*(seen_after(url, free, is_seen, started) for url in urls))
    assert max(taken) < WITHIN_S
    figure(f"on all {len(urls)} gateways: {name}", max(taken), "s")
