"""Secrets: a planted key appears in no log, no error, no row of any table, nowhere in Valkey."""

import asyncio
import secrets
from pathlib import Path

from tests.e2e.everywhere import forms, kept, tables
from tests.e2e.test_batches import ended, line, submitted

CANARY = f"ck-0123456789abcdef-{secrets.token_urlsafe(32)}"
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.{secrets.token_urlsafe(32)}"
PASSWORD = f"canary {secrets.token_urlsafe(24)}"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
PATHS = (
    *("/v1/chat/completions", "/auth/create-key", "/v1/batches", "/v1/videos", "/v1/files"),
    *("/v1/media", "/v1/api-keys", "/v1/explain"),
)


async def plant(person):
    """Send the canary everywhere that a careless client would."""
    texts = []
    async with person.http() as client:
        for headers in (
            {"authorization": f"Bearer {CANARY}"},
            {"authorization": f"Bearer {TOKEN}"},
            {"x-api-key": CANARY, "authorization": ""},
            {"authorization": f"Basic {CANARY}"},
            {"x-admin-key": CANARY},
            {"authorization": f"Bearer {CANARY}", "idempotency-key": secrets.token_hex(8)},
        ):
            for path in PATHS:
                answer = await client.post(path, json=CHAT, headers=headers)
                assert answer.status_code in (401, 429), answer.text
                texts.append(answer.text)
        forwarded = {"x-openwebui-user-jwt": TOKEN}
        texts.append((await client.post(PATHS[0], json=CHAT, headers=forwarded)).text)
        verified = await client.post("/v1/api-keys/verify", json={"api_key": CANARY})
        login = {"username": "canary@example.com", "password": PASSWORD}
        refresh = {"refresh_token": TOKEN}
        for path, body in (("/v1/auth/token", login), ("/v1/auth/refresh", refresh)):
            texts.append((await client.post(path, json=body)).text)
        texts.append(verified.text)
    return texts


async def work(person):
    """What a good key does that leaves something behind; the keys that it was shown meanwhile."""
    texts, shown = [], []
    async with person.http() as client:
        for path, body in ((PATHS[0], CHAT), (PATHS[0], CHAT | {"stream": True})):
            for _ in range(2):  # the second is told from what was kept
                headers = {"idempotency-key": f"{path}-{body.get('stream')}"}
                texts.append((await client.post(path, json=body, headers=headers)).text)
        for _ in range(2):
            made = await client.post(
                "/v1/api-keys", json={"name": "made"}, headers={"idempotency-key": "made"}
            )
            if made.is_success:
                shown.append(made.json()["key"])
            else:
                texts.append(made.text)
        texts.append((await client.get("/v1/api-keys")).text)
    async with person.openai() as client:
        batch = await ended(client, await submitted(client, [line(n) for n in range(3)]))
        assert batch.status == "completed"
        texts.append(batch.model_dump_json())
    assert len(shown) == 1
    return texts, shown


async def test_a_planted_key_appears_nowhere(cluster, pro):
    texts, shown = await work(pro)
    texts += await plant(pro)
    await asyncio.sleep(2.5)
    named = (CANARY, TOKEN, PASSWORD, pro.key, *shown, cluster.api_key)
    files = [(cluster.state / name).read_text().strip() for name in ("pepper", "ray-token")]
    found = [form for secret in (*named, *files) for form in forms(secret)]
    assert not any(form in text.encode() for form in found for text in texts)
    searched = set()
    async for where, content in kept(cluster):
        searched.add(where)
        assert not any(form in content for form in found), where
    durable = {name for name in await tables(cluster) if name.startswith("dbos.")}
    assert {"public.jobs", "public.usage_records", "public.api_keys", "valkey"} <= searched
    assert durable & searched, "the durable engine's tables have rows"


def test_no_secret_is_in_a_command_line(cluster):
    secrets_here = {
        cluster.api_key,
        cluster.token_file.read_text().strip(),
        (cluster.state / "pepper").read_text().strip(),
    }
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().decode(errors="replace")
        except OSError:
            continue
        assert not any(secret in words for secret in secrets_here)


def test_secret_files_are_their_owners_alone(cluster):
    for name in ("api-key", "pepper", "ray-token"):
        assert (cluster.state / name).stat().st_mode & 0o777 == 0o600
