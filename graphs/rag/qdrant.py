"""Passages in Qdrant, by its official client: a server's, or a directory's of one replica.

Place in the path: under the RAG graph. One Qdrant collection holds every tenant's passages, as
Qdrant advises: their scope is an indexed field by which its search graph is made, and a condition
of every call (`qdrant_filters`). Words are found by sparse vectors (`words`); how rare a word is,
Qdrant counts over all tenants, which changes an order and shows no passage.
"""

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from core.errors import StoreUnavailable
from core.filters import AnyFilter
from core.settings import state_directory
from graphs.rag.facets import FLAG, NUMBER, TEXT, facets, kind_of
from graphs.rag.qdrant_filters import FACETS, of_document, of_scope, scope_key
from graphs.rag.store_settings import QdrantStore
from graphs.rag.vector_store import Found, Passage, Scope
from graphs.rag.vectors import other_length, scaled
from graphs.rag.words import of_passage, of_question

VECTOR, WORDS = "vector", "words"
BATCH = 200
IDS = uuid.UUID("0e2d2a2c-5b0b-5d0e-9c56-0e5c8f6d7a11")
"""Namespace of points' ids (RFC 9562, version 5)."""
TENANT_LINKS = 16
"""Of Qdrant's search graph inside each scope; there is none across scopes."""
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})
INDEXES: dict[str, models.PayloadSchemaType] = {
    TEXT: models.PayloadSchemaType.KEYWORD,
    NUMBER: models.PayloadSchemaType.FLOAT,
    FLAG: models.PayloadSchemaType.BOOL,
}


class QdrantPassages:
    """A `VectorStore` in one Qdrant collection."""

    def __init__(self, settings: QdrantStore) -> None:
        self._dimensions = settings.dimensions
        self._collection = f"{settings.name}-{settings.dimensions}"
        self._indexed: set[str] = set()
        self._client = _client(settings)

    async def start(self) -> None:
        """Make the collection, if it is not there."""
        with _outages():
            if not await self._client.collection_exists(self._collection):
                await self._create()
            await self._index(
                "scope",
                models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
            )
            await self._index("document", models.PayloadSchemaType.KEYWORD)
            await self._index("position", models.PayloadSchemaType.INTEGER)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        """In pieces: what fails halfway is put in again by the same call. See `VectorStore`."""
        if not passages:
            return
        units = scaled(vectors)
        self._check(units[0])
        points = [_point(scope, *each) for each in zip(passages, units, strict=True)]
        with _outages():
            await self._index_facets(passages)
            for first in range(0, len(points), BATCH):
                await self._client.upsert(self._collection, points[first : first + BATCH])

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
        return await self._nearest(scope, unit, VECTOR, top_k, filter_)

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """See `VectorStore`."""
        weights = of_question(text)
        if not weights:
            return []
        return await self._nearest(scope, _sparse(weights), WORDS, top_k, filter_)

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """See `VectorStore`."""
        await self._delete(of_document(scope, document, first))

    async def delete_collection(self, scope: Scope) -> None:
        """See `VectorStore`."""
        await self._delete(of_scope(scope))

    async def count(self, scope: Scope) -> int:
        """See `VectorStore`."""
        with _outages():
            counted = await self._client.count(self._collection, of_scope(scope), exact=True)
        return counted.count

    async def _nearest(
        self,
        scope: Scope,
        query: list[float] | models.SparseVector,
        using: str,
        top_k: int,
        filter_: AnyFilter | None,
    ) -> list[Found]:
        with _outages():
            answer = await self._client.query_points(
                self._collection,
                query,
                using=using,
                query_filter=of_scope(scope, filter_),
                limit=top_k,
            )
        return [_found(point) for point in answer.points]

    async def _delete(self, condition: models.Filter) -> None:
        with _outages():
            await self._client.delete(self._collection, models.FilterSelector(filter=condition))

    async def _create(self) -> None:
        try:
            await self._client.create_collection(
                self._collection,
                vectors_config={
                    VECTOR: models.VectorParams(
                        size=self._dimensions, distance=models.Distance.COSINE
                    )
                },
                sparse_vectors_config={
                    WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=TENANT_LINKS),
            )
        except UnexpectedResponse as error:
            if error.status_code != httpx.codes.CONFLICT:  # another replica made it meanwhile
                raise

    async def _index_facets(self, passages: Iterable[Passage]) -> None:
        for name in {name for passage in passages for name in facets(passage.metadata)}:
            await self._index(f"{FACETS}.{name}", INDEXES[kind_of(name)])

    async def _index(
        self, field: str, schema: models.PayloadSchemaType | models.KeywordIndexParams
    ) -> None:
        if field not in self._indexed:
            await self._client.create_payload_index(self._collection, field, schema)
            self._indexed.add(field)

    def _check(self, vector: list[float]) -> None:
        if len(vector) != self._dimensions:
            raise other_length(len(vector), self._dimensions)


def _client(settings: QdrantStore) -> AsyncQdrantClient:
    key = settings.api_key.resolve().get_secret_value() if settings.api_key else None
    if settings.path is not None:
        return AsyncQdrantClient(path=str(state_directory() / settings.path))
    return AsyncQdrantClient(
        url=settings.url,
        api_key=key,
        timeout=math.ceil(settings.timeout_s),
        check_compatibility=False,  # it asks the server at once, and blocks
    )


def _point(scope: Scope, passage: Passage, vector: list[float]) -> models.PointStruct:
    vectors: dict[str, list[float] | models.SparseVector] = {VECTOR: vector}
    weights = of_passage(passage.text)
    if weights:
        vectors[WORDS] = _sparse(weights)
    key = scope_key(scope)
    return models.PointStruct(
        id=str(uuid.uuid5(IDS, json.dumps([key, passage.id]))),
        vector=vectors,
        payload={
            "scope": key,
            "document": passage.document,
            "position": passage.position,
            "text": passage.text,
            "metadata": json.dumps(dict(passage.metadata)),
            FACETS: facets(passage.metadata),
        },
    )


def _sparse(weights: dict[int, float]) -> models.SparseVector:
    return models.SparseVector(indices=list(weights), values=list(weights.values()))


def _found(point: models.ScoredPoint) -> Found:
    payload = point.payload or {}
    metadata = json.loads(payload["metadata"])
    passage = Passage(payload["document"], payload["position"], payload["text"], metadata)
    return Found(passage, point.score)


@contextmanager
def _outages() -> Iterator[None]:
    try:
        yield
    except (ResponseHandlingException, httpx.HTTPError, OSError) as error:
        raise StoreUnavailable("Qdrant does not answer", retry_after_s=1.0) from error
    except UnexpectedResponse as error:
        if error.status_code not in TEMPORARY:
            raise
        raise StoreUnavailable("Qdrant cannot answer now", retry_after_s=1.0) from error
