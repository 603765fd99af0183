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
from tests.e2e.test_disconnects import long_stream, unmoved

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
CHAT = "/v1/chat/completions"
COUNTED = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
"""Each event says how many tokens there were so far: of a stream that breaks, too."""
BEGUN = 4
"""Events of a stream that has given some of its text."""
ECHO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


async def read(client, text, lines):
    """Read a stream until it ends or breaks; its `data:` lines go into `lines`."""
    with contextlib.suppress(httpx.HTTPError):
        body = long_stream(text) | COUNTED
        async with client.stream("POST", CHAT, json=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    lines.append(line.removeprefix("data: "))


async def during_streams(person, act, streams=3):
    """Act once every stream has given some events; what each of them gave."""
    given: list[list[str]] = [[] for _ in range(streams)]
    begin_by = time.monotonic() + 30
    async with person.http() as client, asyncio.TaskGroup() as reading:
        for number, lines in enumerate(given):
            reading.create_task(read(client, f"chaos {number}", lines))
        while min(map(len, given)) < BEGUN:
            assert time.monotonic() < begin_by, given
            await asyncio.sleep(0.02)
        act()
    return given


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


def heard(streams):
    """Of each stream by its request's id: the tokens, in and out, that its caller heard of."""
    told = {}
    for lines in streams:
        events = [json.loads(line) for line in lines if line != "[DONE]"]
        usages = [event["usage"] for event in events if event.get("usage")]
        request_id = events[0]["id"].removeprefix("chatcmpl-")
        told[request_id] = (usages[-1]["prompt_tokens"], usages[-1]["completion_tokens"])
        deltas = [event["choices"][0]["delta"] for event in events if event.get("choices")]
        assert 0 < sum(bool(delta.get("content")) for delta in deltas) <= told[request_id][1]
    return told


def billed(rows):
    """The same of rows."""
    return {row["request_id"]: (row["input_tokens"], row["output_tokens"]) for row in rows}


async def test_killed_gateways_mid_stream(cluster, pro):
    before = (await unmoved(cluster))["starter-chat"]
    streams = await during_streams(pro, lambda: cluster.kill("ServeReplica:gateway"))
    await served_again(pro, "echo", 120)
    rows = await settled(pro, 3)
    rows = [row for row in rows if row["streamed"]]
    assert all(row["exact"] and row["status_code"] == 499 for row in rows)
    told, paid = heard(streams), billed(rows)
    assert paid.keys() == told.keys()
    for request_id, (prompt, output) in told.items():
        assert paid[request_id][0] == prompt
        assert output <= paid[request_id][1] < 1500
    engine = (await unmoved(cluster))["starter-chat"]
    for unit in ("input_tokens", "output_tokens"):
        assert sum(row[unit] for row in rows) == engine[unit] - before[unit]
    await leases_are_gone(pro)


async def test_a_killed_chat_replica_mid_stream(cluster, pro):
    """The engine's own count dies with it: what was delivered is billed, and marked as that."""
    streams = await during_streams(pro, lambda: cluster.kill("ServeReplica:starter-chat"))
    for lines in streams:
        assert json.loads(lines[-1])["error"]["code"] == "model_unavailable"
    rows = await settled(pro, 3)
    assert {(row["error_code"], row["exact"]) for row in rows} == {("model_unavailable", False)}
    assert billed(rows) == heard(streams)
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
