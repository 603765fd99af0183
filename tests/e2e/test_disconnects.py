"""Callers that go away: the engine stops, and what it produced is billed, once."""

import asyncio
import json
import random
import time

from tests.e2e.test_chat import settled


def long_stream(text):
    return {
        "model": "starter-chat",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "max_tokens": 1500,
        "ignore_eos": True,
    }


async def cut(client, text, after_s):
    """Read a stream for a while and hang up; how many pieces of text were seen."""
    seen, started = 0, time.monotonic()
    async with client.stream("POST", "/v1/chat/completions", json=long_stream(text)) as response:
        async for line in response.aiter_lines():
            seen += '"content":' in line
            if time.monotonic() - started > after_s:
                return seen
    return seen


async def test_streams_cut_at_random_points_are_billed_for_what_the_engine_made(pro):
    generator = random.Random(7)
    async with pro.http() as client:
        cuts = [generator.uniform(0.05, 1.0) for _ in range(8)]
        seen = await asyncio.gather(
            *(cut(client, f"stream {n}", after) for n, after in enumerate(cuts))
        )
    rows = await settled(pro, 8)
    assert all(row["status_code"] == 499 and row["exact"] for row in rows)
    # The engine was stopped: nobody was billed for anything near the 1,500 that were allowed.
    assert sum(row["output_tokens"] for row in rows) >= sum(seen) - 8
    assert max(row["output_tokens"] for row in rows) < 1400
    await asyncio.sleep(0.5)
    assert await pro.usage_rows() == rows


async def test_a_cut_stream_frees_what_it_had_reserved(pro):
    async with pro.http() as client:
        await cut(client, "free me", 0.3)
        (row,) = await settled(pro, 1)
        usage = (await client.get("/v1/usage")).json()
    minute = next(w for w in usage["windows"] if (w["meter"], w["seconds"]) == ("tokens", 60))
    assert minute["used"] == row["total_tokens"]


async def test_a_whole_answer_that_nobody_waits_for_is_aborted_and_billed(pro):
    body = json.dumps(long_stream("unread") | {"stream": False}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {pro.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", pro.cluster.port)
    writer.write(head.encode() + body)
    await asyncio.sleep(0.5)
    writer.close()
    (row,) = await settled(pro, 1)
    assert row["status_code"] == 499
    assert row["output_tokens"] < 1500


async def test_a_cut_request_is_not_cached(pro):
    async with pro.http() as client:
        await cut(client, "half of me", 0.2)
        await settled(pro, 1)
        request = long_stream("half of me") | {"max_tokens": 5}
        whole = await client.post("/v1/chat/completions", json=request)
    assert whole.headers["x-cache"] == "MISS"
