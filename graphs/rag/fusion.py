"""Hybrid search: two ranked lists made one, whatever store they came from.

Place in the path: between the RAG graph and its vector store. Reciprocal rank fusion (Cormack,
Clarke and Büttcher, SIGIR 2009) needs ranks alone: cosine similarities and keyword scores are never
compared. It ranks nothing by itself and calls no model.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from core.filters import AnyFilter
from graphs.rag.vector_store import Found, Passage, Scope, VectorStore

RANK_CONSTANT = 10
"""How little the first places count for more than the next. The paper's 60, for lists of a
thousand, lets a passage in the middle of both lists pass one that is first in one of them; with 10
`benchmarks.retrieval` finds more answers.
"""
CANDIDATES_PER_RESULT = 4
MIN_CANDIDATES = 40
"""What both lists give at least, so that a passage high in one and low in the other is seen."""


async def hybrid(
    store: VectorStore,
    scope: Scope,
    vector: Sequence[float],
    text: str,
    top_k: int,
    filter_: AnyFilter | None = None,
) -> list[Found]:
    """The `top_k` best of a query by vector and one by keywords, asked at once; best first."""
    candidates = max(MIN_CANDIDATES, top_k * CANDIDATES_PER_RESULT)
    lists = await asyncio.gather(
        store.query(scope, vector, candidates, filter_),
        store.query_text(scope, text, candidates, filter_),
    )
    return fuse(lists, top_k)


def fuse(lists: Sequence[Sequence[Found]], top_k: int) -> list[Found]:
    """Ranked lists as one: each passage scores 1 / (10 + its rank), summed over the lists.

    Passages that score the same keep the order of the first list that has them.
    """
    scores: defaultdict[str, float] = defaultdict(float)
    passages: dict[str, Passage] = {}
    for found_of_one in lists:
        for rank, found in enumerate(found_of_one, 1):
            scores[found.passage.id] += 1 / (RANK_CONSTANT + rank)
            passages.setdefault(found.passage.id, found.passage)
    best = sorted(passages, key=lambda id_: scores[id_], reverse=True)[:top_k]
    return [Found(passages[id_], scores[id_]) for id_ in best]
