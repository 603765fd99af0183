"""Rerank requests: what is taken, what is refused, and what they may cost at most."""

from typing import Any

import pytest
from pydantic import ValidationError

from core.model import ModelCard
from core.rerank import (
    MAX_DOCUMENT,
    MAX_DOCUMENTS,
    MAX_QUERY,
    RerankRequest,
    estimate_apart,
    estimate_pairs,
    rerank_body,
)
from core.work import WorkUnits

CARD = ModelCard(id="m", spec="deployments.rerank:SPEC", context_window=100)


def request(**fields: Any) -> RerankRequest:
    return RerankRequest.model_validate({"query": "bells", "documents": ["a", "b"]} | fields)


def test_documents_are_texts_or_objects_with_one():
    assert request(documents=["a", {"text": "b", "title": "t"}]).texts == ["a", "b"]


def test_fields_of_other_servers_are_left_alone():
    asked = request(rank_fields=["text"], truncate_prompt_tokens=5, priority=1)
    assert asked == request()


@pytest.mark.parametrize(
    ("fields", "place", "told"),
    [
        ({"query": ""}, "query", "at least 1"),
        ({"query": 7}, "query", "string"),
        ({"query": "x" * (MAX_QUERY + 1)}, "query", "at most 20000"),
        ({"documents": []}, "documents", "at least 1"),
        ({"documents": "one"}, "documents", "list"),
        ({"documents": ["a"] * (MAX_DOCUMENTS + 1)}, "documents", "got 1001"),
        ({"documents": ["a"] * 10_001}, "documents", "got 10001"),
        ({"documents": ["a", ""]}, "documents", r"documents\[1\] must not be empty"),
        ({"documents": ["a", {"txt": "b"}]}, "documents", r"documents\[1\] must be a text"),
        ({"documents": ["a", 7]}, "documents", r"documents\[1\] must be a text"),
        ({"documents": [None]}, "documents", r"documents\[0\] must be a text"),
        ({"documents": ["a", "x" * 5_000_000]}, "documents", r"documents\[1\] has 5000000 char"),
        ({"top_n": 0}, "top_n", "greater than or equal to 1"),
        ({"max_tokens_per_doc": 0}, "max_tokens_per_doc", "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_ranked_is_named(fields: dict[str, Any], place: str, told: str):
    with pytest.raises(ValidationError, match=told) as refused:
        request(**fields)
    assert refused.value.errors()[0]["loc"] == (place,)


def test_as_much_as_may_be_is_taken():
    asked = request(query="x" * MAX_QUERY, documents=["x" * MAX_DOCUMENT] * MAX_DOCUMENTS)
    assert len(asked.texts) == MAX_DOCUMENTS


def test_pairs_read_the_query_with_every_document():
    asked = request(query="x" * 10, documents=["y" * 20, "y" * 500])
    assert estimate_pairs(asked, CARD) == WorkUnits(input_tokens=(10 + 20 + 4) + 100)
    assert estimate_apart(asked, CARD) == WorkUnits(input_tokens=(10 + 4) + (20 + 4) + 100)
    short = request(query="x" * 10, documents=["y" * 500], max_tokens_per_doc=6)
    assert estimate_pairs(short, CARD) == WorkUnits(input_tokens=10 + 6 + 4)


def test_results_are_the_best_ones_and_equals_stay_in_order():
    asked = request(documents=["a", "b", "c", "d"], top_n=3, return_documents=True)
    body = rerank_body(asked, [0.1, 0.5, 0.9, 0.5], "m", "r", WorkUnits(input_tokens=9))
    assert body == {
        "id": "rerank-r",
        "model": "m",
        "results": [
            {"index": 2, "relevance_score": 0.9, "document": {"text": "c"}},
            {"index": 1, "relevance_score": 0.5, "document": {"text": "b"}},
            {"index": 3, "relevance_score": 0.5, "document": {"text": "d"}},
        ],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
        "meta": {"billed_units": {"input_tokens": 9}},
    }
