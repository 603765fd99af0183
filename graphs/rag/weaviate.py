"""Passages in Weaviate, by its official client: one class, one Weaviate tenant a scope.

Place in the path: under the RAG graph. Weaviate keeps its tenants in files of their own. Its BM25
finds words only as they are written, so each passage has its words beside its text as questions
have them: without case, plural endings and the commonest ones (`words`). Each key of metadata
becomes a property of the class, made when it is first seen.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from weaviate.classes.config import Property
from weaviate.classes.data import DataObject
from weaviate.classes.query import FilterReturn, MetadataQuery
from weaviate.collections import CollectionAsync
from weaviate.collections.classes.internal import Object
from weaviate.exceptions import UnexpectedStatusCodeError, WeaviateInvalidInputError

from core.filters import AnyFilter
from graphs.rag.store_settings import WeaviateStore
from graphs.rag.vector_store import Found, Passage, Scope
from graphs.rag.vectors import other_length, scaled
from graphs.rag.weaviate_client import NoTenant, answered, open_client, refusal
from graphs.rag.weaviate_filters import of_document, where
from graphs.rag.weaviate_schema import VECTOR, WORDS, create, facet_property, properties_of
from graphs.rag.words import MAX_WORDS, words_of

RETURNED = ["document", "position", "text", "metadata"]
BATCH = 100
IDS = uuid.UUID("3b1a6a52-51f5-5c9f-8d55-0f6b8c5c2f70")
"""Namespace of objects' ids (RFC 9562, version 5)."""
NOT_FOUND, TAKEN = 404, 422
NOBODY = Scope("nobody", "nothing")


class WeaviatePassages:
    """A `VectorStore` in one Weaviate class."""

    def __init__(self, settings: WeaviateStore) -> None:
        self._dimensions = settings.dimensions
        self._name = f"{settings.name.replace('-', '_').capitalize()}_{settings.dimensions}"
        self._properties: set[str] = set()
        self._timeout_s = settings.timeout_s
        self._client = open_client(settings)

    async def start(self) -> None:
        """Connect, and make the class, if it is not there."""
        async with self._answered():
            await self._client.connect()
        if not await self._read_properties():
            await self._create()
            await self._read_properties()
        # Passages travel by another port than classes: one that is wrong is noticed here.
        await self.count(NOBODY)

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
        await self._add_properties(passages)
        objects = [_object(scope, *each) for each in zip(passages, units, strict=True)]
        for first in range(0, len(objects), BATCH):
            await self._put(scope, objects[first : first + BATCH])

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
        condition = await self._condition(filter_)
        try:
            async with self._answered():
                answer = await self._of(scope).query.near_vector(
                    unit,
                    target_vector=VECTOR,
                    limit=top_k,
                    filters=condition,
                    return_properties=RETURNED,
                    return_metadata=MetadataQuery(distance=True),
                )
        except NoTenant:
            return []
        return [_found(each, 1 - (each.metadata.distance or 0.0)) for each in answer.objects]

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """See `VectorStore`."""
        words = words_of(text)[:MAX_WORDS]
        if not words:
            return []
        condition = await self._condition(filter_)
        try:
            async with self._answered():
                answer = await self._of(scope).query.bm25(
                    " ".join(words),
                    query_properties=[WORDS],
                    limit=top_k,
                    filters=condition,
                    return_properties=RETURNED,
                    return_metadata=MetadataQuery(score=True),
                )
        except NoTenant:
            return []
        return [_found(each, each.metadata.score or 0.0) for each in answer.objects]

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """In pieces, as many as Weaviate takes at once. See `VectorStore`."""
        more = True
        while more:
            try:
                async with self._answered():
                    gone = await self._of(scope).data.delete_many(of_document(document, first))
            except NoTenant:
                return
            if gone.failed:
                raise refusal(f"{gone.failed} of {gone.matches} objects could not be deleted")
            more = 0 < gone.successful < gone.matches

    async def delete_collection(self, scope: Scope) -> None:
        """See `VectorStore`."""
        async with self._answered():
            await self._class.tenants.remove([_tenant(scope)])

    async def count(self, scope: Scope) -> int:
        """See `VectorStore`."""
        try:
            async with self._answered():
                answer = await self._of(scope).aggregate.over_all(total_count=True)
        except NoTenant:
            return 0
        return answer.total_count or 0

    @property
    def _class(self) -> CollectionAsync[dict[str, Any], None]:
        return self._client.collections.use(self._name, dict[str, Any])

    def _of(self, scope: Scope) -> CollectionAsync[dict[str, Any], None]:
        return self._class.with_tenant(_tenant(scope))

    def _answered(self) -> AbstractAsyncContextManager[None]:
        return answered(self._timeout_s)

    async def _put(self, scope: Scope, objects: list[DataObject[dict[str, Any], None]]) -> None:
        """A batch is a success even when some of it failed, so that is looked at."""
        async with self._answered():
            done = await self._of(scope).data.insert_many(objects)
        if done.errors:
            raise refusal("; ".join({each.message for each in done.errors.values()}))

    async def _condition(self, filter_: AnyFilter | None) -> FilterReturn | None:
        if filter_ is None:
            return None
        return where(filter_, await self._read_properties())

    async def _read_properties(self) -> set[str]:
        """Names of the class's properties; empty when there is no class."""
        async with self._answered():
            try:
                config = await self._class.config.get(simple=True)
            except UnexpectedStatusCodeError as error:
                if error.status_code != NOT_FOUND:
                    raise
                return set()
        self._properties = {each.name for each in config.properties}
        return self._properties

    async def _add_properties(self, passages: Iterable[Passage]) -> None:
        names = {name for passage in passages for name in properties_of(passage.metadata)}
        for name in sorted(names - self._properties):
            async with self._answered():
                await self._add_property(facet_property(name))
            self._properties.add(name)

    async def _add_property(self, property_: Property) -> None:
        try:
            await self._class.config.add_property(property_)
        except WeaviateInvalidInputError:
            return  # another replica made it, and the client saw that
        except UnexpectedStatusCodeError as error:
            if error.status_code != TAKEN:  # another replica made it just now
                raise

    async def _create(self) -> None:
        async with self._answered():
            try:
                await create(self._client, self._name)
            except UnexpectedStatusCodeError as error:
                if error.status_code != TAKEN:  # another replica made it meanwhile
                    raise

    def _check(self, vector: list[float]) -> None:
        if len(vector) != self._dimensions:
            raise other_length(len(vector), self._dimensions)


def _tenant(scope: Scope) -> str:
    """Weaviate's name of a scope: 64 letters and digits, and no two scopes share one."""
    key = json.dumps([scope.tenant, scope.collection])
    return hashlib.sha256(key.encode()).hexdigest()


def _object(
    scope: Scope, passage: Passage, vector: list[float]
) -> DataObject[dict[str, Any], None]:
    return DataObject(
        uuid=uuid.uuid5(IDS, json.dumps([_tenant(scope), passage.id])),
        vector={VECTOR: vector},
        properties={
            "document": passage.document,
            "position": passage.position,
            "text": passage.text,
            WORDS: " ".join(words_of(passage.text)),
            "metadata": json.dumps(dict(passage.metadata)),
            **properties_of(passage.metadata),
        },
    )


def _found(each: Object[dict[str, Any], None], score: float) -> Found:
    row = each.properties
    metadata = json.loads(row["metadata"])
    return Found(Passage(row["document"], row["position"], row["text"], metadata), score)
