"""Passages in Pinecone, by its official client: one index of documents, one namespace a scope.

Place in the path: under the RAG graph. The index has a field of vectors and a field of text, which
Pinecone searches by BM25. Pinecone applies writes a little later: what was put in is found seconds
afterwards, and what was deleted may be found as long.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from pinecone import AsyncPinecone, DenseVectorQuery, RetryConfig, TextQuery
from pinecone.async_client.async_index import AsyncIndex
from pinecone.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    PineconeConnectionError,
    PineconeTimeoutError,
)
from pinecone.models.documents.document import Document

from core.errors import StoreUnavailable
from core.filters import AnyFilter, Combined, Compare, Equals, In
from graphs.rag.facets import NUMBER, alternatives, facet_name, facets
from graphs.rag.store_settings import PineconeStore
from graphs.rag.vector_store import SEPARATOR, Found, Passage, Scope
from graphs.rag.vectors import other_length, scaled

VECTOR, TEXT = "vector", "text"
RETURNED = ("document", "position", "text", "metadata")
BATCH = 100
RETRIES = 2
READY_S = 300
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})


class PineconePassages:
    """A `VectorStore` in one Pinecone index."""

    def __init__(self, settings: PineconeStore) -> None:
        self._settings = settings
        self._name = f"{settings.name}-{settings.dimensions}"
        self._client = AsyncPinecone(
            settings.api_key.resolve().get_secret_value(),
            host=settings.url,
            timeout=settings.timeout_s,
            retry_config=RetryConfig(max_retries=RETRIES),
        )
        self._opened: AsyncIndex | None = None

    async def start(self) -> None:
        """Make the index, if it is not there, and wait until it is ready: a minute or so."""
        with _outages():
            if not await self._client.indexes.exists(self._name):
                await self._create()
            self._opened = await self._client.index(self._name)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._opened is not None:
            await self._opened.close()
        await self._client.close()

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        """In pieces: what fails halfway is put in again by the same call. See `VectorStore`."""
        if not passages:
            return
        units = scaled(vectors)
        self._check(units[0])
        documents = [_document(*each) for each in zip(passages, units, strict=True)]
        with _outages():
            for first in range(0, len(documents), BATCH):
                await self._index.documents.upsert(
                    namespace=_namespace(scope), documents=documents[first : first + BATCH]
                )

    async def query(
        self,
        scope: Scope,
        vector: Sequence[float],
        top_k: int,
        filter_: AnyFilter | None = None,
    ) -> list[Found]:
        """See `VectorStore`."""
        (unit,) = scaled([vector])
        self._check(unit)
        return await self._search(
            scope, DenseVectorQuery(field=VECTOR, values=unit), top_k, filter_
        )

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """See `VectorStore`."""
        if not any(character.isalnum() for character in text):
            return []
        return await self._search(scope, TextQuery(query=text, fields=[TEXT]), top_k, filter_)

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """See `VectorStore`."""
        later = {"$and": [{"document": {"$eq": document}}, {"position": {"$gte": first}}]}
        with _outages(), _none_is_fine():
            await self._index.documents.delete(namespace=_namespace(scope), filter=later)

    async def delete_collection(self, scope: Scope) -> None:
        """See `VectorStore`."""
        with _outages(), _none_is_fine():
            await self._index.delete_namespace(name=_namespace(scope))

    async def count(self, scope: Scope) -> int:
        """As Pinecone counts, which is a little late. See `VectorStore`."""
        with _outages(), _none_is_fine():
            described = await self._index.describe_namespace(name=_namespace(scope))
            return described.record_count
        return 0

    @property
    def _index(self) -> AsyncIndex:
        assert self._opened is not None, "start() was not called"
        return self._opened

    async def _search(
        self,
        scope: Scope,
        by: DenseVectorQuery | TextQuery,
        top_k: int,
        filter_: AnyFilter | None,
    ) -> list[Found]:
        with _outages(), _none_is_fine():
            answer = await self._index.documents.search(
                namespace=_namespace(scope),
                score_by=[by],
                top_k=top_k,
                include_fields=RETURNED,
                filter=None if filter_ is None else _condition(filter_),
            )
            return [_found(document) for document in answer.matches]
        return []

    async def _create(self) -> None:
        try:
            await self._client.indexes.create(
                name=self._name,
                schema={
                    "fields": {
                        VECTOR: {
                            "type": "dense_vector",
                            "dimension": self._settings.dimensions,
                            "metric": "cosine",
                        },
                        TEXT: {
                            "type": "string",
                            "full_text_search": {"language": "en", "stemming": True},
                        },
                    }
                },
                deployment={
                    "deployment_type": "managed",
                    "cloud": self._settings.cloud,
                    "region": self._settings.region,
                },
                timeout=READY_S,
            )
        except ConflictError:  # another replica made it meanwhile
            return

    def _check(self, vector: list[float]) -> None:
        if len(vector) != self._settings.dimensions:
            raise other_length(len(vector), self._settings.dimensions)


def _namespace(scope: Scope) -> str:
    """ASCII, and no two scopes share one: a tenant's part has no colon of its own."""
    return f"{quote(scope.tenant, safe='')}:{quote(scope.collection, safe='')}"


def _document(passage: Passage, vector: list[float]) -> dict[str, Any]:
    return {
        "_id": f"{quote(passage.document, safe='')}{SEPARATOR}{passage.position}",
        VECTOR: vector,
        TEXT: passage.text,
        "document": passage.document,
        "position": passage.position,
        "metadata": json.dumps(dict(passage.metadata)),
        **facets(passage.metadata),
    }


def _condition(filter_: AnyFilter) -> dict[str, Any]:
    match filter_:
        case Equals(key=key, value=value):
            return {facet_name(key, value): {"$eq": value}}
        case In():
            return {"$or": [_condition(each) for each in alternatives(filter_)]}
        case Compare(type=type_, key=key, value=value):
            return {f"{NUMBER}_{key}": {f"${type_}": value}}
        case Combined(type=type_, filters=filters):
            return {f"${type_}": [_condition(each) for each in filters]}


def _found(document: Document) -> Found:
    fields = document.to_dict()
    metadata = json.loads(fields["metadata"])
    passage = Passage(fields["document"], int(fields["position"]), fields["text"], metadata)
    return Found(passage, document.score or 0.0)


@contextmanager
def _none_is_fine() -> Iterator[None]:
    """A namespace is there as soon as something is in it."""
    try:
        yield
    except NotFoundError:
        return


@contextmanager
def _outages() -> Iterator[None]:
    try:
        yield
    except (PineconeConnectionError, PineconeTimeoutError) as error:
        raise StoreUnavailable("Pinecone does not answer", retry_after_s=1.0) from error
    except ApiError as error:
        if error.status_code not in TEMPORARY:
            raise
        raise StoreUnavailable("Pinecone cannot answer now", retry_after_s=1.0) from error
