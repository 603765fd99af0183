"""A leaked key on a real cluster: what it rotated is dead on every gateway when it is revoked."""

import asyncio

import httpx

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "whose key is this"}]}


async def statuses(cluster, key):
    """Of a call to each gateway replica."""
    headers = {"authorization": f"Bearer {key}"}
    found = []
    for url in cluster.gateway_urls():
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
            found.append((await client.post("/v1/chat/completions", json=CHAT)).status_code)
    return set(found)


async def test_a_stolen_key_that_rotated_itself_leaves_nothing(cluster, pro):
    async with pro.http() as client:
        made = await client.post("/v1/api-keys", json={"scopes": ["inference", "keys"]})
        stolen = made.json()
        thief = {"authorization": f"Bearer {stolen['key']}"}
        path = f"/v1/api-keys/{stolen['id']}"
        rotated = await client.post(f"{path}/rotate", json={}, headers=thief)
        assert rotated.status_code == 201, rotated.text
        successor = rotated.json()
        assert await statuses(cluster, successor["key"]) == {200}
        ended = await client.delete(path)
        assert ended.json()["made"] == [successor["id"]]
    assert await statuses(cluster, successor["key"]) == {401}


async def test_a_watched_limit_tells_and_refuses_nothing(pro):
    limits = {"watch": {"requests": {"day": 1}}}
    async with pro.http() as client:
        made = await client.post("/v1/api-keys", json={"scopes": ["inference"], "limits": limits})
        key = {"authorization": f"Bearer {made.json()['key']}"}
        answers = [
            await client.post("/v1/chat/completions", json=CHAT | {"seed": n}, headers=key)
            for n in range(2)
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["x-ratelimit-would-refuse"] == "key requests/86400"


async def test_status_is_plain_for_tenants_and_whole_for_operators(pro, operator):
    async with pro.http() as theirs, operator.http() as ours:
        plain, whole = await asyncio.gather(theirs.get("/status"), ours.get("/status"))
    assert whole.json()["ledger"]["events"] >= 0
    assert "ledger" not in plain.json()
    assert not any("message" in each for each in plain.json()["applications"].values())
