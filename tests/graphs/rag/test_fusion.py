"""Two ranked lists as one."""

import asyncio

import pytest

from graphs.rag.fusion import fuse, hybrid
from graphs.rag.vector_store import Found, Passage, Scope


def ranked(*names: str) -> list[Found]:
    return [Found(Passage(name, 0, name), 100 - place) for place, name in enumerate(names)]


def order(found: list[Found]) -> list[str]:
    return [each.passage.document for each in found]


def test_what_both_lists_have_comes_before_what_one_has_first():
    assert order(fuse([ranked("a", "b", "c"), ranked("d", "b", "e")], 3)) == ["b", "a", "d"]


def test_scores_of_the_lists_do_not_matter():
    loud = [Found(each.passage, each.score * 1e9) for each in ranked("a", "b")]
    assert order(fuse([ranked("b", "a"), loud], 2)) == order(
        fuse([ranked("b", "a"), ranked("a", "b")], 2)
    )


def test_the_score_is_the_sum_of_reciprocal_ranks():
    (best, _) = fuse([ranked("a", "b"), ranked("a")], 2)
    assert best.score == pytest.approx(2 / 11)


def test_empty_lists_give_an_empty_one():
    assert fuse([[], []], 5) == []
    assert order(fuse([[], ranked("a")], 5)) == ["a"]


def test_pages_of_one_document_are_different_passages():
    pages = [Found(Passage("a", n, "x"), 1.0) for n in range(3)]
    assert len(fuse([pages, pages[::-1]], 10)) == 3


class SlowStore:
    """Answers when both were asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Barrier(2)
        self.top_k: set[int] = set()

    async def query(self, scope, vector, top_k, filter_=None):
        self.top_k.add(top_k)
        await self.asked.wait()
        return ranked("far", "both")

    async def query_text(self, scope, text, top_k, filter_=None):
        self.top_k.add(top_k)
        await self.asked.wait()
        return ranked("word", "both")


async def test_hybrid_asks_for_both_at_once_and_for_more_than_it_gives():
    store = SlowStore()
    async with asyncio.timeout(5):
        found = await hybrid(store, Scope("t", "c"), [1.0], "word", 1)  # type: ignore[arg-type]
    assert order(found) == ["both"]
    assert store.top_k == {40}
