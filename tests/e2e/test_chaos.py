"""Killed processes and stopped stores: nothing lost, nothing billed twice, back by itself.

`make chaos`. Each test leaves the cluster healthy for the next.
"""

import asyncio
import contextlib
import json
import time

import httpx
import pytest

from tests.e2e.test_chat import settled
from tests.e2e.test_disconnects import long_stream

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
CHAT = "/v1/chat/completions"
ECHO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


async def read(client, text):
    """Read a stream until it ends or breaks; its `data:` lines."""
    lines = []
    with contextlib.suppress(httpx.HTTPError):
        async with client.stream("POST", CHAT, json=long_stream(text)) as response:
            async for line in response.aiter_lines():
                lines += [line]
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


async def during_streams(person, act, streams=3):
    async with person.http() as client:
        reading = [asyncio.create_task(read(client, f"chaos {n}")) for n in range(streams)]
        await asyncio.sleep(0.8)
        act()
        return await asyncio.gather(*reading)


async def served_again(person, model, within_s):
    """How long until `model` answers."""
    started = time.monotonic()
    async with person.http() as client:
        while time.monotonic() - started < within_s:
            body = {
                "model": model,
                "messages": [{"role": "user", "content": f"back? {time.time()}"}],
                "max_tokens": 2,
            }
            try:
                if (await client.post(CHAT, json=body, timeout=10)).status_code == 200:
                    return time.monotonic() - started
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.5)
    raise AssertionError(f"{model} did not answer within {within_s} s")


def texts(lines):
    """Pieces of text among a stream's events."""
    found = 0
    for line in lines:
        if line != "[DONE]" and (choices := json.loads(line).get("choices")):
            found += bool(choices[0]["delta"].get("content"))
    return found


async def test_killed_gateways_mid_stream(cluster, pro):
    streams = await during_streams(pro, lambda: cluster.kill("ServeReplica:gateway"))
    await served_again(pro, "echo", 120)
    rows = await settled(pro, 3)
    streamed = [row for row in rows if row["streamed"]]
    assert len(streamed) == 3
    assert all(row["exact"] and row["status_code"] == 499 for row in streamed)
    for row, lines in zip(
        sorted(streamed, key=lambda row: row["output_tokens"]),
        sorted(streams, key=texts),
        strict=True,
    ):
        assert texts(lines) <= row["output_tokens"] < 1500
    await leases_are_gone(pro)


async def test_a_killed_chat_replica_mid_stream(cluster, pro):
    streams = await during_streams(pro, lambda: cluster.kill("ServeReplica:starter-chat"))
    for lines in streams:
        assert json.loads(lines[-1])["error"]["code"] == "model_unavailable"
    rows = await settled(pro, 3)
    assert sum(row["output_tokens"] for row in rows) >= sum(map(texts, streams)) - 3
    assert {row["error_code"] for row in rows} == {"model_unavailable"}
    await served_again(pro, "starter-chat", 300)
    await leases_are_gone(pro)


async def test_a_killed_ledger_loses_and_doubles_nothing(cluster, pro):
    async with pro.http() as client:

        async def call(number):
            body = ECHO | {"seed": number}
            return (await client.post(CHAT, json=body)).status_code

        first = await asyncio.gather(*(call(n) for n in range(40)))
        cluster.kill("ServeReplica:ledger")
        second = await asyncio.gather(*(call(n) for n in range(40, 80)))
    assert set(first + second) == {200}
    for _ in range(120):
        rows = await pro.usage_rows()
        if len(rows) == 80 and all(row["status"] == "settled" for row in rows):
            break
        await asyncio.sleep(0.5)
    assert len(rows) == len({row["request_id"] for row in rows}) == 80
    assert {(row["input_tokens"], row["output_tokens"]) for row in rows} == {(1, 1)}


@pytest.mark.parametrize("store", ["valkey", "postgres"])
async def test_a_killed_store_is_a_503_and_back_within_ten_seconds(cluster, pro, store):
    async with pro.http() as client:
        assert (await client.post(CHAT, json=ECHO)).status_code == 200
        before = (await client.get("/v1/usage")).json()["windows"]
        cluster.kill_store(store)
        started, statuses = time.monotonic(), set()
        while time.monotonic() - started < 20:
            body = ECHO | {"seed": int(time.time() * 1000) % 10**9}
            response = await client.post(CHAT, json=body)
            statuses.add(response.status_code)
            if response.status_code == 503:
                assert response.json()["error"]["code"] == "store_unavailable"
                assert "retry-after" in response.headers
            elif (await client.get("/v1/usage")).status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert statuses <= {200, 503}
        assert time.monotonic() - started < 10
        after = (await client.get("/v1/usage")).json()["windows"]
    for old, new in zip(before, after, strict=True):
        assert new["used"] >= old["used"]


async def leases_are_gone(person):
    """Nothing stays reserved: windows equal the ledger once leases have run out."""
    async with person.http() as client:
        for _ in range(60):
            rows = await person.usage_rows()
            usage = (await client.get("/v1/usage")).json()
            day = next(
                w for w in usage["windows"] if (w["meter"], w["seconds"]) == ("tokens", 86_400)
            )
            if day["used"] == sum(row["total_tokens"] for row in rows):
                return
            await asyncio.sleep(0.5)
    raise AssertionError((day, [row["total_tokens"] for row in rows]))
