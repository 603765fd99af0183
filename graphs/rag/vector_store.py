"""What RAG asks of a vector store. Each store is one file beside this one.

Place in the path: under the RAG graph, which cuts documents into passages, has them embedded and
puts them here. A store keeps and finds passages; it knows no documents, models or callers, and
embeds nothing. Every call names whose passages it means, and no call reaches others'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.filters import AnyFilter, Metadata

SEPARATOR = "#"


@dataclass(frozen=True, slots=True)
class Scope:
    """One collection of one tenant: all that a call can see or change.

    Args:
        tenant: the tenant's id, which ingress set.
        collection: its name; two tenants may use the same one.
    """

    tenant: str
    collection: str

    def __post_init__(self) -> None:
        if not self.tenant or not self.collection:
            raise ValueError("a scope needs a tenant and a collection")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, as it is found again.

    Args:
        document: the document's id, unique in its collection; no `#` in it.
        position: its place among the document's passages, from 0.
        text: what was embedded, and what keywords are looked for in.
        metadata: what filters ask about, and whatever else comes back with it.
    """

    document: str
    position: int
    text: str
    metadata: Metadata = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Unique in its collection."""
        return f"{self.document}{SEPARATOR}{self.position}"


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a search found.

    Args:
        passage: without its vector.
        score: higher is better. Of a query by vector the cosine similarity, -1 to 1; of one by
            keywords, and of fused lists, a number that compares within one answer only.
    """

    passage: Passage
    score: float


class VectorStore(Protocol):
    """Passages with their vectors, by tenant and collection.

    A collection is there as soon as something is put into it. Vectors of one collection have one
    length; cosine similarity compares them, so their own length does not matter.

    Every method raises StoreUnavailable when the store does not answer in time.
    """

    async def start(self) -> None:
        """Open connections, and make what the store needs. Safe to call from several replicas."""
        ...

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        """Put passages in, in place of those of the same id.

        Args:
            scope: into which collection.
            passages: any number; the store sends them in as many pieces as it needs.
            vectors: one of each passage, in the same order, of finite numbers, not all zero.

        Raises:
            InvalidRequest: the vectors have another length than those of the collection.
        """
        ...

    async def query(
        self,
        scope: Scope,
        vector: Sequence[float],
        top_k: int,
        filter_: AnyFilter | None = None,
    ) -> list[Found]:
        """The passages whose vectors are most like `vector`, best first.

        All of them match the filter, and there are `top_k` as long as so many do.
        """
        ...

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """The passages that have most of the words of `text`, rare ones first; best first.

        `text` is what a person typed: nothing in it is an operator. No words in it that count, or
        none that any passage has: an empty list.
        """
        ...

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """Delete a document's passages from position `first` on; none there is no error.

        A document that is put in again, with fewer passages, is `upsert`ed and then cut by this:
        at no moment is it not there.
        """
        ...

    async def delete_collection(self, scope: Scope) -> None:
        """Delete every passage of the collection; none there is no error."""
        ...

    async def count(self, scope: Scope) -> int:
        """How many passages the collection has."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
