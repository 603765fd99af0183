"""Callers that go away: the engine stops, and what it produced is billed, once."""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict

import pytest

from tests.e2e.books import balance
from tests.e2e.test_chat import settled

STREAMS = 1_000
AT_ONCE = 24


def long_stream(text):
    return {
        "model": "starter-chat",
        "messages": [{"role": "user", "content": text}],
        "stream": True,
        "max_tokens": 1500,
        "min_tokens": 1500,
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
        request = long_stream("half of me") | {"max_tokens": 5, "min_tokens": 5}
        whole = await client.post("/v1/chat/completions", json=request)
    assert whole.headers["x-cache"] == "MISS"


@pytest.mark.chaos
@pytest.mark.timeout(1200)
async def test_a_thousand_streams_cut_at_random_points_are_billed_as_engines_counted(
    cluster, counted, store, figure
):
    """Nine hundred paced echoes, a hundred of a real engine; some are read to their end."""
    generator = random.Random(1000)
    places = asyncio.Semaphore(AT_ONCE)
    before = await unmoved(cluster)
    async with counted.http() as client:

        async def one(number):
            body = stream_of(number, generator.randint(20, 60))
            after_s = generator.uniform(0.0, 3.0)
            async with places:
                return await broken_off(client, body, after_s)

        read = await asyncio.gather(*(one(number) for number in range(STREAMS)))
    rows, _ = await balance(counted, store)
    totals = await unmoved(cluster)
    for model in ("echo-slow", "starter-chat"):
        mine = [row for row in rows if row["model"] == model]
        for unit in ("input_tokens", "output_tokens"):
            engine = totals[model][unit] - before[model][unit]
            billed = sum(row[unit] for row in mine)
            figure(f"drift of {model}, {unit}, of {engine}", billed - engine, "")
            assert billed == engine, Counter(
                (row["status_code"], row["exact"], row["error_code"]) for row in mine
            )
    figure("streams, of which were read to their end", sum(read), "")
    figure("streams begun, by the ledger", len(rows), "")
    figure("rows that are an estimate", sum(not row["exact"] for row in rows), "")


def stream_of(number, words):
    """The n-th stream: every tenth is starter-chat's. No two ask for the same."""
    text = " ".join([f"stream {number}", *("word" for _ in range(words - 2))])
    chat = {"model": "starter-chat", "max_tokens": 4 * words, "min_tokens": 4 * words}
    echo = {"model": "echo-slow", "max_tokens": words}
    fields = echo if number % 10 else chat
    return {"messages": [{"role": "user", "content": text}], "stream": True} | fields


async def broken_off(client, body, after_s):
    """Whether the end was read before `after_s` had passed: then the caller hangs up."""
    ended = False
    try:
        async with (
            asyncio.timeout(after_s),
            client.stream("POST", "/v1/chat/completions", json=body) as response,
        ):
            async for line in response.aiter_lines():
                ended = ended or line == "data: [DONE]"
    except TimeoutError:
        pass
    return ended


async def engine_totals(cluster):
    """What all engines have counted so far, by model and unit."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for row in await cluster.rows("SELECT model, units FROM engine_counters"):
        totals[row["model"]].update(json.loads(row["units"]))
    return totals


async def unmoved(cluster):
    """The same, once engines have told all they did."""
    totals, still_s = await engine_totals(cluster), 0
    while still_s < 6:
        await asyncio.sleep(1)
        latest = await engine_totals(cluster)
        still_s = still_s + 1 if latest == totals else 0
        totals = latest
    return totals
