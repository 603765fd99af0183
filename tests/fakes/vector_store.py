"""A vector store in memory, for tests of what stands on one: it looks at every passage."""

from collections.abc import Sequence

from core.errors import StoreUnavailable
from core.filters import AnyFilter, Combined, Compare, Equals, In, Metadata
from graphs.rag.vector_store import Found, Passage, Scope


class MemoryStore:
    """Passages by scope and id. `fails` says before which operation it is not there."""

    def __init__(self) -> None:
        self.kept: dict[Scope, dict[str, tuple[Passage, Sequence[float]]]] = {}
        self.fails: str | None = None

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        pairs = list(zip(passages, vectors, strict=True))
        mine = self.kept.setdefault(scope, {})
        for passage, vector in pairs[: len(pairs) // 2]:
            mine[passage.id] = (passage, vector)
        self._check("upsert")  # some of it is there already
        for passage, vector in pairs:
            mine[passage.id] = (passage, vector)

    async def query(
        self,
        scope: Scope,
        vector: Sequence[float],
        top_k: int,
        filter_: AnyFilter | None = None,
    ) -> list[Found]:
        self._check("query")
        return self._best(
            scope,
            top_k,
            filter_,
            lambda _, own: sum(a * b for a, b in zip(vector, own, strict=True)),
        )

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        self._check("query_text")
        words = set(text.lower().split())
        found = self._best(
            scope, top_k, filter_, lambda own, _: float(len(words & set(own.text.lower().split())))
        )
        return [each for each in found if each.score > 0]

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        self._check("delete")
        mine = self.kept.get(scope, {})
        for passage, _ in list(mine.values()):
            if passage.document == document and passage.position >= first:
                del mine[passage.id]

    async def delete_collection(self, scope: Scope) -> None:
        self._check("delete")
        self.kept.pop(scope, None)

    async def count(self, scope: Scope) -> int:
        return len(self.kept.get(scope, {}))

    def _best(self, scope: Scope, top_k: int, filter_: AnyFilter | None, score) -> list[Found]:
        found = [
            Found(passage, score(passage, vector))
            for passage, vector in self.kept.get(scope, {}).values()
            if filter_ is None or matches(filter_, passage.metadata)
        ]
        return sorted(found, key=lambda each: each.score, reverse=True)[:top_k]

    def _check(self, operation: str) -> None:
        if self.fails == operation:
            raise StoreUnavailable("the vector store does not answer")


def matches(filter_: AnyFilter, metadata: Metadata) -> bool:
    """Whether metadata passes a filter; numbers and text, as the tests need them."""
    if isinstance(filter_, Combined):
        every = [matches(each, metadata) for each in filter_.filters]
        return all(every) if filter_.type == "and" else any(every)
    value = metadata.get(filter_.key)
    if isinstance(filter_, Equals):
        return value == filter_.value
    if isinstance(filter_, In):
        return value in filter_.value
    assert isinstance(filter_, Compare)
    if not isinstance(value, int | float):
        return False
    return {
        "gt": value > filter_.value,
        "gte": value >= filter_.value,
        "lt": value < filter_.value,
        "lte": value <= filter_.value,
    }[filter_.type]
