"""Secrets: a planted key appears in no log, no error and no row."""

import asyncio
import secrets

CANARY = f"ck-0123456789abcdef-{secrets.token_urlsafe(32)}"


async def plant(person):
    """Send the canary everywhere that a careless client would."""
    chat = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
    texts = []
    async with person.http() as client:
        for headers in (
            {"authorization": f"Bearer {CANARY}"},
            {"x-api-key": CANARY, "authorization": ""},
            {"authorization": f"Basic {CANARY}"},
            {"x-admin-key": CANARY},
        ):
            for path in ("/v1/chat/completions", "/auth/create-key"):
                answer = await client.post(path, json=chat, headers=headers)
                assert answer.status_code == 401
                texts.append(answer.text)
        verified = await client.post("/v1/api-keys/verify", json={"api_key": CANARY})
        texts.append(verified.text)
    return texts


async def test_a_planted_key_appears_nowhere(cluster, pro):
    texts = await plant(pro)
    issued = pro.key
    async with pro.http() as client:
        chat = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}
        texts.append((await client.post("/v1/chat/completions", json=chat)).text)
        texts.append((await client.get("/v1/api-keys")).text)
    await asyncio.sleep(2.5)
    for secret in (CANARY, issued, cluster.token_file.read_text().strip()):
        assert not any(secret in text for text in texts)
        for log in cluster.logs():
            assert secret.encode() not in log.read_bytes(), log
    for table in ("tenants", "api_keys", "usage_records"):
        rows = await cluster.rows(f"SELECT to_jsonb(t)::text AS row FROM {table} t")
        assert not any(CANARY in row["row"] or issued in row["row"] for row in rows)


def test_no_secret_is_in_a_command_line(cluster):
    secrets_here = {
        cluster.api_key,
        cluster.token_file.read_text().strip(),
        (cluster.state / "pepper").read_text().strip(),
    }
    from pathlib import Path

    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().decode(errors="replace")
        except OSError:
            continue
        assert not any(secret in words for secret in secrets_here)


def test_secret_files_are_their_owners_alone(cluster):
    for name in ("api-key", "pepper", "ray-token"):
        assert (cluster.state / name).stat().st_mode & 0o777 == 0o600
