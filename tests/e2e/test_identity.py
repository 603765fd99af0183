"""Users over HTTP on a real cluster: in by invitation, out at once on every replica."""

import asyncio
import secrets

import httpx
import openai

from tests.e2e.test_batches import ended, line, submitted

PASSWORD = "correct horse battery"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "who am I"}]}


def bearer(token):
    return {"authorization": f"Bearer {token}"}


async def joined(client, operator, path, role):
    """A new user, invited by the operator's key at `path`."""
    email = f"{role}.{secrets.token_hex(4)}@example.com"
    invited = await client.post(path, json={"email": email, "role": role}, headers=operator)
    assert invited.status_code == 201, invited.text
    body = {"email": email, "password": PASSWORD, "name": role}
    made = await client.post(
        "/v1/auth/register", json=body | {"invitation": invited.json()["token"]}
    )
    assert made.status_code == 201, made.text
    return made.json() | {"email": email}


async def test_users_log_in_work_and_are_out_at_once(cluster):
    operator = bearer(cluster.api_key)
    async with httpx.AsyncClient(base_url=cluster.base_url, timeout=60) as client:
        tenant = (
            await client.post("/v1/admin/tenants", json={"name": "e2e"}, headers=operator)
        ).json()
        path = f"/v1/admin/tenants/{tenant['id']}/invitations"
        owner = await joined(client, operator, path, "owner")
        member = await joined(client, operator, path, "member")
        form = {"username": member["email"], "password": PASSWORD, "grant_type": "password"}
        logged_in = (await client.post("/api/v1/auth/token", data=form)).json()
        token = bearer(logged_in["access_token"])
        for _ in range(6):  # over both replicas
            answer = await client.post("/v1/chat/completions", json=CHAT, headers=token)
            assert answer.status_code == 200, answer.text
        keys = (await client.get("/.well-known/jwks.json")).json()
        assert len(keys["keys"]) == 1
        await asyncio.sleep(2)
        rows = await cluster.rows(
            "SELECT DISTINCT user_id, api_key_id FROM usage_records WHERE tenant_id = $1",
            tenant["id"],
        )
        user = member["user_id"]
        assert [tuple(row.values()) for row in rows] == [(user, f"user:{user}@{tenant['id']}")]
        gone = await client.delete(
            f"/v1/tenants/me/members/{user}", headers=bearer(owner["access_token"])
        )
        assert gone.status_code == 200
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=CHAT, headers=token) for _ in range(12))
        )
        assert {answer.status_code for answer in answers} == {401}


async def test_a_job_goes_on_for_its_user_when_the_session_is_over(cluster):
    operator = bearer(cluster.api_key)
    async with httpx.AsyncClient(base_url=cluster.base_url, timeout=60) as client:
        path = "/v1/admin/tenants/operator/invitations"
        member = await joined(client, operator, path, "member")
        url = f"{cluster.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key=member["access_token"]) as theirs:
            batch = await submitted(theirs, [line(number) for number in range(20)])
        body = {"refresh_token": member["refresh_token"]}
        assert (await client.post("/v1/auth/logout", json=body)).status_code == 200
        late = await client.get("/v1/users/me", headers=bearer(member["access_token"]))
        assert late.status_code == 401
    async with openai.AsyncOpenAI(base_url=url, api_key=cluster.api_key) as ours:
        done = await ended(ours, batch)
    assert (done.status, done.request_counts.completed) == ("completed", 20)


async def test_nothing_secret_of_users_is_logged(cluster):
    operator = bearer(cluster.api_key)
    async with httpx.AsyncClient(base_url=cluster.base_url, timeout=60) as client:
        path = "/v1/admin/tenants/operator/invitations"
        member = await joined(client, operator, path, "viewer")
        wrong = {"username": member["email"], "password": f"wrong {PASSWORD}"}
        assert (await client.post("/v1/auth/token", json=wrong)).status_code == 401
        await client.get("/v1/users/me", headers=bearer(member["access_token"]))
    await asyncio.sleep(1)
    for secret in (PASSWORD, member["access_token"], member["refresh_token"]):
        for log in cluster.logs():
            assert secret.encode() not in log.read_bytes(), log
