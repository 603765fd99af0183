"""Limits, cache and single-flight on real stores and three gateway replicas."""

import asyncio

from tests.e2e.test_chat import settled


def body(text, **fields):
    return {"model": "echo", "messages": [{"role": "user", "content": text}]} | fields


async def test_150_callers_at_once_get_exactly_what_the_plan_has(free):
    """The free plan: 100 requests a minute, an hour, a day, and 10,000 tokens a minute."""
    async with free.http() as client:

        async def call(number):
            request = body(f"number {number}", max_tokens=4)
            return await client.post(
                "/v1/chat/completions", json=request, headers={"cache-control": "no-store"}
            )

        answers = await asyncio.gather(*(call(number) for number in range(150)))
        statuses = [answer.status_code for answer in answers]
        assert statuses.count(200) == 100
        assert statuses.count(429) == 50
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] in ("rate_limit_exceeded", "insufficient_quota")
        assert int(refused.headers["retry-after-ms"]) > 0
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        usage = (await client.get("/v1/usage")).json()
    day = next(w for w in usage["windows"] if (w["meter"], w["seconds"]) == ("requests", 86_400))
    assert (day["used"], day["remaining"]) == (100, 0)
    assert len(await settled(free, 100)) == 100


async def test_token_windows_count_what_was_used_not_what_was_reserved(free):
    async with free.http() as client:
        await client.post("/v1/chat/completions", json=body("a b c", max_tokens=900))
        usage = (await client.get("/v1/usage")).json()
    minute = next(w for w in usage["windows"] if (w["meter"], w["seconds"]) == ("tokens", 60))
    assert minute["used"] == 6


async def test_a_request_that_can_never_fit_says_so(free):
    async with free.http() as client:
        response = await client.post("/v1/chat/completions", json=body("x", max_tokens=20_000))
    assert response.status_code == 429
    assert response.headers["x-should-retry"] == "false"
    assert "10000 tokens per minute" in response.json()["error"]["message"]


async def test_the_cache_is_exact_private_and_obeys_cache_control(pro, other):
    path = "/v1/chat/completions"
    async with pro.http() as mine, other.http() as theirs:

        async def verdict(client, request, **headers):
            response = await client.post(path, json=request, headers=headers)
            return response.headers["x-cache"], response.json()["id"]

        first = await verdict(mine, body("cached?"))
        assert first[0] == "MISS"
        assert await verdict(mine, body("cached?")) == ("HIT", first[1])
        assert (await verdict(mine, body("cached?", temperature=0.5)))[0] == "MISS"
        assert (await verdict(theirs, body("cached?")))[0] == "MISS"
        assert (await verdict(mine, body("cached?"), **{"cache-control": "no-store"}))[
            0
        ] == "BYPASS"
        fresh = await verdict(mine, body("cached?"), **{"cache-control": "no-cache"})
        assert fresh[0] == "BYPASS"
        assert await verdict(mine, body("cached?")) == ("HIT", fresh[1])
    rows = await settled(pro, 6)
    hits = [row for row in rows if row["cache"] == "hit"]
    assert len(hits) == 2
    assert all(row["total_tokens"] == 0 for row in hits)


async def test_a_stream_replays_from_the_cache_as_the_same_stream(pro):
    async with pro.http() as client:
        request = body("replay me please", stream=True)
        first = await client.post("/v1/chat/completions", json=request)
        again = await client.post("/v1/chat/completions", json=request)
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("MISS", "HIT")
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.text == first.text


async def test_identical_requests_at_once_run_once_across_replicas(pro):
    request = {
        "model": "starter-chat",
        "messages": [{"role": "user", "content": "List all products"}],
        "max_tokens": 60,
    }
    async with pro.http() as client:
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=request) for _ in range(12))
        )
    assert len({answer.json()["id"] for answer in answers}) == 1
    rows = await settled(pro, 12)
    assert [row["cache"] for row in rows].count("hit") == 11
    assert sum(row["output_tokens"] > 0 for row in rows) == 1


async def test_a_full_queue_is_a_429_with_a_time_to_retry_and_costs_nothing(pro):
    async with pro.http() as client:

        async def call(number):
            request = {
                "model": "starter-chat",
                "messages": [{"role": "user", "content": f"queue {number}"}],
                "max_tokens": 60,
                "ignore_eos": True,
            }
            return await client.post("/v1/chat/completions", json=request)

        answers = await asyncio.gather(*(call(number) for number in range(90)))
        usage = (await client.get("/v1/usage")).json()
    full = [answer for answer in answers if answer.status_code == 429]
    served = [answer for answer in answers if answer.status_code == 200]
    assert len(full) + len(served) == 90
    assert full
    assert {answer.json()["error"]["code"] for answer in full} == {"queue_full"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in full)
    hour = next(w for w in usage["windows"] if (w["meter"], w["seconds"]) == ("requests", 3600))
    assert hour["used"] == len(served)
    billed = sum(answer.json()["usage"]["total_tokens"] for answer in served)
    rows = await settled(pro, 90)
    assert sum(row["total_tokens"] for row in rows) == billed
