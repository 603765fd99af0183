"""Keys of keys, sums of usage and live files, through the running cluster."""

import asyncio
import json
import time

from tests.e2e.people import Person, newcomer

CHAT = "/v1/chat/completions"


def question(number, **fields):
    text = {"role": "user", "content": f"question {number}"}
    return {"model": "echo", "messages": [text]} | fields


async def child_of(person, **fields):
    async with person.http() as client:
        made = await client.post("/v1/api-keys", json=fields)
        assert made.status_code == 201, made.text
    return made.json()


async def test_keys_of_a_key_share_its_budget_on_every_gateway_and_end_with_it(cluster):
    maker = newcomer(cluster, "pro", {"requests": {"day": 5}})
    children = [await child_of(maker) for _ in range(2)]
    people = [Person(cluster, maker.tenant_id, child["key"]) for child in children]
    found = []
    for number in range(4):
        for person, url in zip([*people, maker], cluster.gateway_urls(), strict=False):
            async with person.http(url) as client:
                answer = await client.post(CHAT, json=question(f"{number} {url}"))
                found.append(answer.status_code)
    assert sorted(found) == [200] * 5 + [429] * 7
    async with Person(cluster, "operator", cluster.api_key).http() as client:
        gone = await client.get("/v1/api-keys")  # the operator's own: the maker is another tenant's
        assert maker.key.split("-")[1] not in {key["id"] for key in gone.json()["data"]}
    async with maker.http() as client:
        mine = await client.delete(f"/v1/api-keys/{maker.key.split('-')[1]}")
        assert set(mine.json()["made"]) == {child["id"] for child in children}
    for person in (*people, maker):
        async with person.http() as client:
            assert (await client.get("/v1/usage")).status_code == 401


async def test_sums_are_those_of_the_rows(cluster, pro):
    async with pro.http() as client:
        for number in range(6):
            answer = await client.post(CHAT, json=question(number % 5))
            assert answer.status_code == 200
        for _ in range(100):
            summary = (await client.get("/v1/usage/summary?days=1")).json()
            rows = await pro.usage_rows()
            if len(rows) == 6 and all(row["status"] == "settled" for row in rows):
                break
            await asyncio.sleep(0.1)
        summary = (await client.get("/v1/usage/summary?days=1")).json()
        days = (await client.get("/v1/usage/daily?days=1")).json()["data"]
    totals = summary["totals"]
    assert (totals["requests"], totals["cached"]) == (6, 1)
    assert totals["input_tokens"] == sum(row["input_tokens"] for row in rows)
    assert sum(day["requests"] for day in days) == 6


async def test_prices_are_read_again_when_their_file_changes(cluster, pro):
    path = cluster.state / "prices.yaml"
    before = time.time() - 1
    path.write_text(path.read_text())
    async with pro.http() as client:
        for _ in range(100):
            told = (await client.get("/status")).json()["configuration"]["prices.yaml"]
            if told["read_at"] >= before:
                break
            await asyncio.sleep(0.2)
        assert told["current"]
        assert told["read_at"] >= before
        health = (await client.get("/health")).json()
        assert health["services"]["plans.yaml"] == "healthy"


async def test_the_command_line_gives_a_key_limits_of_its_own(cluster):
    made = cluster.carillon(
        *("keys", "create", "--name", "trial", "--limit", "requests.day=2"),
        *("--limit", "storage_gb=0.5"),
    )
    person = Person(cluster, "operator", made.split()[-1])
    async with person.http() as client:
        shown = (await client.get("/v1/usage")).json()
    limits = {
        (w["meter"], w["seconds"]): w["limit"] for w in shown["windows"] if w["scope"] == "key"
    }
    assert limits["requests", 86_400] == 2
    storage = {each["scope"]: each["limit"] for each in shown["storage"]}
    assert storage["key"] == 500_000_000
    assert "requests.day=2" in json.dumps(cluster.carillon("keys", "list"))
