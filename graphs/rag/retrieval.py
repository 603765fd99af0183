"""Retrieval: the passages that answer a question best, ready to be cited.

Place in the path: inside the RAG graph, under its search, its answers and its chat. It asks the
embedding model for the query's vector, the store for passages by meaning, by words or by both, and
the rerank model, if asked to, for a better order. It writes no prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from core.errors import InvalidRequest
from core.filters import Metadata
from core.model import CallContext
from core.rag import RESERVED_KEYS, Looked, RagLimits, Retrieval
from core.rag_work import candidates, reranked_tokens
from core.rerank import MAX_DOCUMENT, MAX_QUERY, RerankRequest
from graphs.rag.embedding import Embedder
from graphs.rag.fusion import hybrid
from graphs.rag.library import Library
from graphs.rag.vector_store import Found, Passage, Scope, VectorStore
from graphs.step import Step

SPARE = 8
"""Looked for beside those that are asked for: some may be of a document that changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage, as it is cited.

    Args:
        start, end: where it is in the document's text, in characters.
        score: compares within one answer only.
    """

    document: str
    title: str | None
    heading: str | None
    page: int | None
    start: int
    end: int
    text: str
    score: float
    metadata: Metadata

    def facts(self) -> dict[str, Any]:
        """Where it is from."""
        return {
            "document": self.document,
            "title": self.title,
            "heading": self.heading,
            "page": self.page,
            "start": self.start,
            "end": self.end,
        }

    def result(self) -> dict[str, Any]:
        """It as JSON, with its text, its score and its document's metadata."""
        return {
            **self.facts(),
            "text": self.text,
            "score": round(self.score, 6),
            "metadata": dict(self.metadata),
        }


class Retriever:
    """Searches of one graph.

    Args:
        reranker: a model with the operation `rerank`; None where there is none.
        limits: of the graph.
    """

    def __init__(
        self,
        store: VectorStore,
        library: Library,
        embedder: Embedder,
        reranker: Step | None,
        limits: RagLimits,
    ) -> None:
        self._store = store
        self._library = library
        self._embedder = embedder
        self._reranker = reranker
        self._limits = limits

    async def find(
        self, query: str, wanted: Retrieval, whose: Looked, call: CallContext
    ) -> list[Source]:
        """At most `top_k` passages, best first.

        Raises:
            InvalidRequest: `rerank` where no model does that.
            Conflict: the collection's vectors are not of this graph's embedding model.
        """
        scope = Scope(whose.tenant, wanted.collection)
        if wanted.rerank and self._reranker is None:
            raise InvalidRequest("no rerank model is configured here", "rerank")
        await self._library.require_ours(scope)
        many = candidates(wanted.top_k) if wanted.rerank else wanted.top_k
        found = await self._look(scope, query, wanted, many + SPARE, call)
        sources = [_source(each) for each in await self._library.alive(scope, found)][:many]
        if wanted.rerank and self._reranker is not None and sources:
            sources = await self._reranked(self._reranker, query, sources, call)
        return sources[: wanted.top_k]

    async def _look(
        self, scope: Scope, query: str, wanted: Retrieval, many: int, call: CallContext
    ) -> list[Found]:
        if wanted.mode == "keyword":
            return await self._store.query_text(scope, query, many, wanted.filter)
        (vector,) = await self._embedder.embed([query], call)
        if wanted.mode == "vector":
            return await self._store.query(scope, vector, many, wanted.filter)
        return await hybrid(self._store, scope, vector, query, many, wanted.filter)

    async def _reranked(
        self, model: Step, query: str, sources: Sequence[Source], call: CallContext
    ) -> list[Source]:
        """All of them, in the model's order, with its scores."""
        request = RerankRequest(
            # The last message of a conversation may be longer, and so may words without a space.
            query=query[:MAX_QUERY],
            documents=[source.text[:MAX_DOCUMENT] for source in sources],
            max_tokens_per_doc=reranked_tokens(self._limits),
        )
        reply = await model.answer("rerank", request, call)
        results = orjson.loads(reply.body)["results"]
        best = sorted(results, key=lambda each: each["relevance_score"], reverse=True)
        return [_scored(sources[each["index"]], each["relevance_score"]) for each in best]


def _scored(source: Source, score: float) -> Source:
    facts = {name: getattr(source, name) for name in Source.__slots__}
    return Source(**(facts | {"score": score}))


def _source(found: Found) -> Source:
    passage: Passage = found.passage
    facts: Any = passage.metadata
    return Source(
        document=facts["document"],
        title=facts.get("title"),
        heading=facts.get("heading"),
        page=facts.get("page"),
        start=facts["start"],
        end=facts["end"],
        text=passage.text[facts["lead"] :],
        score=found.score,
        metadata={key: value for key, value in facts.items() if key not in RESERVED_KEYS},
    )
