"""Rerank end to end, on the real MiniLM weights: by itself, in batches, and in searches."""

import asyncio

import pytest

from tests.e2e.test_batches import content, ended, submitted
from tests.e2e.test_chat import settled
from tests.e2e.test_rag import ask

pytestmark = pytest.mark.timeout(300)
PATH = "/v1/rerank"
MODEL = "all-minilm-l6-v2"
ASKED = {
    "model": MODEL,
    "query": "How heavy is the biggest bell?",
    "documents": [
        "The tower is open from May to October.",
        {"text": "The largest bell weighs nine tons."},
        "A ticket costs four euros; children climb for free.",
    ],
}
LONG = "word " * 1_000


@pytest.fixture(autouse=True)
async def _awake(operator):
    """A cluster answers before every model of it is deployed."""
    async with operator.http() as client:
        for _ in range(120):
            if (await client.post(PATH, json=ASKED)).status_code != 503:
                return
            await asyncio.sleep(1)
    raise AssertionError("the model is not deployed")


async def test_what_answers_comes_first_and_what_was_read_is_billed(pro):
    async with pro.http() as client:
        answer = await client.post(PATH, json=ASKED | {"return_documents": True, "top_n": 2})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["model"] == MODEL
        assert body["results"][0]["index"] == 1
        assert body["results"][0]["document"] == {"text": "The largest bell weighs nine tons."}
        first, second = (each["relevance_score"] for each in body["results"])
        assert first > second + 0.1
        again = await client.post(PATH, json=ASKED | {"return_documents": True, "top_n": 2})
        assert (again.headers["x-cache"], again.json()) == ("HIT", body)
        unnamed = {name: value for name, value in ASKED.items() if name != "model"}
        default = await client.post(PATH, json=unnamed)
        assert default.status_code == 200, default.text
        assert (default.json()["model"], len(default.json()["results"])) == (MODEL, 3)
    rows = await settled(pro, 3)
    assert {row["operation"] for row in rows} == {"rerank"}
    tokens = body["usage"]["prompt_tokens"]
    made = [row for row in rows if row["cache"] != "hit"]
    assert [row["input_tokens"] for row in made] == [tokens] * 2
    assert all(row["device_seconds"] > 0 for row in made)


@pytest.mark.parametrize(
    ("change", "status", "code", "told"),
    [
        ({"documents": []}, 400, "invalid_request", "documents"),
        ({"documents": ["a", ""]}, 400, "invalid_request", "documents[1]"),
        ({"documents": ["a"] * 10_001}, 400, "invalid_request", "got 10001"),
        ({"documents": ["a", "x" * 5_000_000]}, 400, "invalid_request", "documents[1]"),
        ({"query": ""}, 400, "invalid_request", "query"),
        ({"top_n": 0}, 400, "invalid_request", "top_n"),
        ({"model": "nope"}, 404, "model_not_found", "nope"),
        ({"model": "echo"}, 400, "invalid_request", "cannot do 'rerank'"),
    ],
)
async def test_what_cannot_be_ranked_is_named_and_costs_nothing(pro, change, status, code, told):
    async with pro.http() as client:
        answer = await client.post(PATH, json=ASKED | change)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert told in error["message"]
    assert await pro.usage_rows() == []


async def test_texts_over_the_window_are_cut_and_a_thousand_documents_are_ranked(operator):
    async with operator.http() as client:
        long = await client.post(PATH, json={"query": LONG, "documents": [LONG, "a bell"]})
        assert 2 * 256 < long.json()["usage"]["prompt_tokens"] < 2 * 256 + 8
        many = [f"number {n}" for n in range(999)]
        ranked = await client.post(PATH, json=ASKED | {"documents": [*many, "a heavy bell"]})
    assert len(ranked.json()["results"]) == 1_000
    assert ranked.json()["results"][0]["index"] == 999


async def test_rerank_in_a_batch(pro):
    lines = [
        {"custom_id": str(n), "method": "POST", "url": PATH, "body": ASKED | {"top_n": n + 1}}
        for n in range(3)
    ]
    async with pro.openai() as client:
        batch = await ended(client, await submitted(client, lines, PATH))
        answers = await content(client, batch.output_file_id)
    results = {each["custom_id"]: each["response"]["body"]["results"] for each in answers}
    assert {name: len(each) for name, each in results.items()} == {"0": 1, "1": 2, "2": 3}
    assert {each[0]["index"] for each in results.values()} == {1}


async def test_a_search_is_reranked_and_its_citations_are_right(pro):
    texts = {
        "weight": "Nine tons is what the largest bell weighs.",
        "bells": "Bell, bells, big bells, the biggest bell: how heavy, how heavy is a bell?",
        "hours": "The tower is open from May to October.",
    }
    question = {"query": "How heavy is the biggest bell?", "top_k": 2}
    async with pro.http() as client:
        for name, text in texts.items():
            added = await ask(client, "POST", "documents", json={"id": name, "text": text})
            assert added.status_code == 201, added.text
        plain = await ask(client, "POST", "search", json=question)
        found = await ask(client, "POST", "search", json=question | {"rerank": True})
        assert found.status_code == 200, found.text
        assert found.headers["x-cache"] == "MISS"
        results = found.json()["results"]
        assert {each["document"] for each in results} == {"weight", "bells"}
        scores = [each["score"] for each in results]
        assert scores == sorted(scores, reverse=True)
        assert scores != [each["score"] for each in plain.json()["results"]]
        ranked = await client.post(
            PATH, json={"query": question["query"], "documents": list(texts.values())}
        )
        by_itself = [list(texts)[each["index"]] for each in ranked.json()["results"]]
        assert [each["document"] for each in results] == by_itself[:2]
        for each in results:
            whole = (await ask(client, "GET", f"documents/{each['document']}")).json()["text"]
            assert whole[each["start"] : each["end"]] == each["text"]
        assert found.json()["usage"]["prompt_tokens"] > plain.json()["usage"]["prompt_tokens"] + 20
        told = await ask(
            client, "POST", "generate", json=question | {"rerank": True, "max_tokens": 4}
        )
        assert [each["document"] for each in told.json()["citations"]] == by_itself[:2]


async def test_what_reranking_may_take_fits_the_smallest_plan(free):
    async with free.http() as client:
        await ask(client, "POST", "documents", json={"text": "The largest bell weighs nine tons."})
        question = {"query": ASKED["query"], "rerank": True}
        found = await ask(client, "POST", "search", json=question)
    assert found.status_code == 200, found.text
    assert "nine tons" in found.json()["results"][0]["text"]
