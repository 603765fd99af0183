"""Keys and tenants over HTTP: who may do what, and how soon a change holds everywhere."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest


async def create(client, **fields):
    return await client.post("/v1/api-keys", json=fields)


async def test_a_key_is_shown_once_works_and_is_dead_at_once_on_every_replica(pro):
    async with pro.http() as client:
        scopes = ["inference", "usage", "keys"]
        made = (await create(client, name="laptop", scopes=scopes)).json()
        assert made["key"].startswith("ck-")
        with_key = {"authorization": f"Bearer {made['key']}"}
        # Many connections: HAProxy spreads them over both gateway replicas.
        for _ in range(8):
            assert (await client.get("/v1/models", headers=with_key)).status_code == 200
        listed = (await client.get("/v1/api-keys")).json()["data"]
        assert made["key"] not in str(listed)
        assert (await client.delete(f"/v1/api-keys/{made['id']}")).status_code == 200
        for _ in range(8):
            assert (await client.get("/v1/models", headers=with_key)).status_code == 401
            minted = await client.post("/v1/api-keys", json={}, headers=with_key)
            assert minted.status_code == 401
        body = {"model": "echo", "messages": [{"role": "user", "content": "still there?"}]}
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=body, headers=with_key) for _ in range(16))
        )
    assert {answer.status_code for answer in answers} == {401}


async def test_an_expired_key_says_so(pro):
    async with pro.http() as client:
        ends = datetime.now(UTC) + timedelta(seconds=1.5)
        made = (await create(client, expires_at=ends.isoformat())).json()
        headers = {"authorization": f"Bearer {made['key']}"}
        assert (await client.get("/v1/models", headers=headers)).status_code == 200
        await asyncio.sleep(2)
        late = await client.get("/v1/models", headers=headers)
    assert (late.status_code, late.json()["error"]["code"]) == (401, "expired_api_key")


async def test_a_key_grants_at_most_what_it_has(pro):
    async with pro.http() as client:
        escalation = await create(client, scopes=["inference", "admin"])
        assert (escalation.status_code, escalation.json()["error"]["code"]) == (
            403,
            "permission_denied",
        )
        narrow = (
            await create(client, scopes=["inference", "keys"], allowed_models=["echo"])
        ).json()
        headers = {"authorization": f"Bearer {narrow['key']}"}
        wide = await client.post(
            "/v1/api-keys", headers=headers, json={"allowed_models": ["starter-chat"]}
        )
        assert wide.status_code == 403
        body = {"model": "starter-chat", "messages": [{"role": "user", "content": "x"}]}
        refused = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_nothing_of_another_tenant_can_be_listed_revoked_or_verified(pro, other):
    async with pro.http() as mine, other.http() as theirs:
        key = (await create(theirs, name="theirs")).json()
        assert key["id"] not in (await mine.get("/v1/api-keys")).text
        assert (await mine.delete(f"/v1/api-keys/{key['id']}")).status_code == 404
        verified = await mine.post("/v1/api-keys/verify", json={"api_key": key["key"]})
        unknown = await mine.post("/v1/api-keys/verify", json={"api_key": key["key"][:-1]})
        assert verified.json() == unknown.json()
        assert not verified.json()["valid"]
        created = await create(mine, tenant_id=other.tenant_id)
        assert created.status_code == 403
        for path in ("/v1/admin/stats", "/admin/stats"):
            assert (await mine.get(path)).status_code == 403
        still = await theirs.post("/v1/api-keys/verify", json={"api_key": key["key"]})
    assert still.json()["valid"]


async def test_last_use_is_remembered(pro):
    async with pro.http() as client:
        body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
        await client.post("/v1/chat/completions", json=body)
        for _ in range(50):
            (key,) = (await client.get("/v1/api-keys")).json()["data"]
            if key["last_used_at"]:
                return
            await asyncio.sleep(0.1)
    raise AssertionError("last_used_at was never set")


async def test_a_plan_change_holds_at_the_next_request(cluster, free):
    async with free.http() as client:
        assert (await client.get("/v1/usage")).json()["plan"] == "free"
        cluster.carillon("tenants", "plan", free.tenant_id, "pro")
        body = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(6):
            response = await client.post(
                "/v1/chat/completions", json=body, headers={"cache-control": "no-store"}
            )
            assert response.headers["x-ratelimit-limit"] == "1000"


@pytest.mark.parametrize("bad", ["\x00", "", "x" * 500, "a\nb"])
async def test_names_that_no_table_takes_are_a_400(pro, bad):
    async with pro.http() as client:
        assert (await create(client, name=bad)).status_code == 400


async def test_ids_that_nobody_has_are_a_404(pro):
    async with pro.http() as client:
        for key_id in ("nope", "%00", "a' OR '1'='1", "x" * 300):
            assert (await client.delete(f"/v1/api-keys/{key_id}")).status_code == 404


async def test_the_paths_of_the_predecessor_answer_in_their_own_shape(operator, pro):
    async with pro.http() as client:
        generated = await client.post("/ai/generate", json={"prompt": "one two", "model": "echo"})
        assert generated.json()["response"] == "one two"
        assert generated.json()["usage"]["total_tokens"] == 4
        again = await client.post("/ai/generate", json={"prompt": "one two", "model": "echo"})
        assert again.json()["cached"] is True
        models = (await client.get("/ai/models")).json()["data"]
        assert {"starter-chat", "all-minilm-l6-v2", "echo"} <= {model["id"] for model in models}
        usage = (await client.get("/usage")).json()
        assert usage["tenant_id"] == pro.tenant_id
        made = await client.post("/auth/create-key", json={"key_name": "old", "expires_in_days": 1})
        assert made.status_code == 201
        checked = await client.post("/auth/verify-key", json={"api_key": made.json()["api_key"]})
        assert (checked.json()["valid"], checked.json()["tier"]) == (True, "pro")
        wrong = await client.post("/auth/verify-key", json={"api_key": "ck-nonsense"})
        assert wrong.json() == wrong.json() | {"valid": False, "code": "invalid_api_key"}
    async with operator.http() as client:
        del client.headers["authorization"]
        client.headers["X-Admin-Key"] = operator.key
        stats = (await client.get("/admin/stats")).json()
        assert stats["tenants"] >= 2
        cleared = await client.post("/admin/cache/clear", json={"tenant_id": pro.tenant_id})
        assert cleared.json()["cleared"] >= 1
        health = (await client.get("/health")).json()
        assert health["status"] == "healthy"
        assert health["services"]["postgresql"] == "healthy"
