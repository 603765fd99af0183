"""Passages in Weaviate, by its REST and GraphQL interfaces: one class, one Weaviate tenant a scope.

Place in the path: under the RAG graph. Weaviate keeps its tenants in files of their own, and ranks
words by its own BM25. Its official client asks for versions of grpcio and protobuf that others here
cannot have (ADR 0028). Each key of metadata becomes a property of the class, made when it is first
seen.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from core.filters import AnyFilter
from graphs.rag.facets import FLAG, NUMBER, TEXT, facets, kind_of
from graphs.rag.store_settings import WeaviateStore
from graphs.rag.vector_store import Found, Passage, Scope
from graphs.rag.vectors import other_length, scaled
from graphs.rag.weaviate_http import NoTenant, WeaviateHttp
from graphs.rag.weaviate_queries import Where, count, get, of_document, where

BATCH = 100
IDS = uuid.UUID("3b1a6a52-51f5-5c9f-8d55-0f6b8c5c2f70")
"""Namespace of objects' ids (RFC 9562, version 5)."""
MISSING = (httpx.codes.NOT_FOUND,)
TAKEN = (httpx.codes.UNPROCESSABLE_ENTITY,)
"""Another replica made it meanwhile."""
EXACT = {"tokenization": "field", "indexSearchable": False}
TYPES: dict[str, dict[str, Any]] = {
    TEXT: {"dataType": ["text[]"], **EXACT},
    NUMBER: {"dataType": ["number"], "indexRangeFilters": True},
    FLAG: {"dataType": ["boolean"]},
}
PROPERTIES: list[dict[str, Any]] = [
    {"name": "document", "dataType": ["text"], **EXACT},
    {"name": "position", "dataType": ["int"], "indexRangeFilters": True},
    {"name": "text", "dataType": ["text"], "tokenization": "word", "indexFilterable": False},
    {"name": "metadata", "dataType": ["text"], **EXACT, "indexFilterable": False},
]


class WeaviatePassages:
    """A `VectorStore` in one Weaviate class."""

    def __init__(self, settings: WeaviateStore) -> None:
        self._dimensions = settings.dimensions
        self._class = f"{settings.name.replace('-', '_').capitalize()}_{settings.dimensions}"
        self._properties: set[str] = set()
        self._server = WeaviateHttp(settings)

    async def start(self) -> None:
        """Make the class, if it is not there."""
        if not await self._read_properties():
            await self._server.call("POST", "/v1/schema", self._schema(), TAKEN)
            await self._read_properties()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._server.aclose()

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        """In pieces: what fails halfway is put in again by the same call. See `VectorStore`."""
        if not passages:
            return
        units = scaled(vectors)
        self._check(units[0])
        await self._add_properties(passages)
        objects = [self._object(scope, *each) for each in zip(passages, units, strict=True)]
        for first in range(0, len(objects), BATCH):
            await self._server.put(objects[first : first + BATCH])

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
        rows = await self._get(scope, top_k, {"nearVector": {"vector": unit}}, filter_)
        return [_found(row, 1 - row["_additional"]["distance"]) for row in rows]

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """See `VectorStore`."""
        if not any(character.isalnum() for character in text):
            return []
        search = {"bm25": {"query": text, "properties": ["text"]}}
        rows = await self._get(scope, top_k, search, filter_)
        return [_found(row, float(row["_additional"]["score"])) for row in rows]

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """In pieces, as many as Weaviate takes at once. See `VectorStore`."""
        match = {"class": self._class, "where": of_document(document, first)}
        path = f"/v1/batch/objects?tenant={_tenant(scope)}"
        more = True
        while more:
            try:
                answer = await self._server.call("DELETE", path, {"match": match})
            except NoTenant:
                return
            results = answer["results"]
            more = 0 < results["successful"] < results["matches"]

    async def delete_collection(self, scope: Scope) -> None:
        """See `VectorStore`."""
        path = f"/v1/schema/{self._class}/tenants"
        await self._server.call("DELETE", path, [_tenant(scope)])

    async def count(self, scope: Scope) -> int:
        """See `VectorStore`."""
        try:
            data = await self._server.query(count(self._class, _tenant(scope)))
        except NoTenant:
            return 0
        return int(data["Aggregate"][self._class][0]["meta"]["count"])

    async def _get(
        self, scope: Scope, top_k: int, search: dict[str, Any], filter_: AnyFilter | None
    ) -> list[dict[str, Any]]:
        condition: Where | None = None
        if filter_ is not None:
            condition = where(filter_, await self._read_properties())
        query = get(self._class, _tenant(scope), top_k, search, condition)
        try:
            data = await self._server.query(query)
        except NoTenant:
            return []
        rows: list[dict[str, Any]] = data["Get"][self._class]
        return rows

    async def _read_properties(self) -> set[str]:
        """Names of the class's properties; empty when there is no class."""
        class_ = await self._server.call("GET", f"/v1/schema/{self._class}", fine=MISSING)
        self._properties = {each["name"] for each in (class_ or {}).get("properties", ())}
        return self._properties

    async def _add_properties(self, passages: Iterable[Passage]) -> None:
        names = {name for passage in passages for name in facets(passage.metadata)}
        for name in sorted(names - self._properties):
            property_ = {"name": name, **TYPES[kind_of(name)]}
            path = f"/v1/schema/{self._class}/properties"
            await self._server.call("POST", path, property_, TAKEN)
            self._properties.add(name)

    def _schema(self) -> dict[str, Any]:
        return {
            "class": self._class,
            "vectorizer": "none",
            "vectorIndexConfig": {"distance": "cosine"},
            "invertedIndexConfig": {"stopwords": {"preset": "en"}},
            "multiTenancyConfig": {
                "enabled": True,
                "autoTenantCreation": True,
                "autoTenantActivation": True,
            },
            "properties": PROPERTIES,
        }

    def _object(self, scope: Scope, passage: Passage, vector: list[float]) -> dict[str, Any]:
        return {
            "class": self._class,
            "tenant": _tenant(scope),
            "id": str(uuid.uuid5(IDS, json.dumps([_tenant(scope), passage.id]))),
            "vector": vector,
            "properties": {
                "document": passage.document,
                "position": passage.position,
                "text": passage.text,
                "metadata": json.dumps(dict(passage.metadata)),
                **facets(passage.metadata),
            },
        }

    def _check(self, vector: list[float]) -> None:
        if len(vector) != self._dimensions:
            raise other_length(len(vector), self._dimensions)


def _tenant(scope: Scope) -> str:
    """Weaviate's name of a scope: 64 letters and digits, and no two scopes share one."""
    key = json.dumps([scope.tenant, scope.collection])
    return hashlib.sha256(key.encode()).hexdigest()


def _found(row: dict[str, Any], score: float) -> Found:
    metadata = json.loads(row["metadata"])
    return Found(Passage(row["document"], row["position"], row["text"], metadata), score)
