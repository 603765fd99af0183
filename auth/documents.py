"""Documents that tenants keep for RAG: rows and text, never vectors.

Place in the path: beside it, for the routes that list documents, and what a RAG graph asks of them.
Documents are put in and taken out by `auth.document_writes`. It knows no vector store and no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from auth.accounts import Page
from auth.database import Database
from auth.document_room import require_room
from auth.paging import known_id, page_size
from core.errors import NotFound

COLLECTION = """
    SELECT c.*, count(d.id) AS documents, coalesce(sum(d.passages), 0) AS passages,
        coalesce(sum(d.text_bytes), 0) AS text_bytes
    FROM rag_collections c LEFT JOIN rag_documents d
        ON d.tenant_id = c.tenant_id AND d.collection = c.name AND d.mark IS NOT NULL
    WHERE c.tenant_id = $1 AND c.name = $2 GROUP BY c.tenant_id, c.name
"""
COLLECTIONS = """
    SELECT c.*, count(d.id) AS documents, coalesce(sum(d.passages), 0) AS passages,
        coalesce(sum(d.text_bytes), 0) AS text_bytes
    FROM rag_collections c LEFT JOIN rag_documents d
        ON d.tenant_id = c.tenant_id AND d.collection = c.name AND d.mark IS NOT NULL
    WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.name > $2)
    GROUP BY c.tenant_id, c.name ORDER BY c.name LIMIT $3
"""
ROW = """
    id, tenant_id, collection, title, kind, bytes, text_bytes, pages, passages, tokens, metadata,
    mark, created_at, updated_at
"""
PAGE = f"""
    SELECT {ROW} FROM rag_documents
    WHERE tenant_id = $1 AND collection = $2 AND mark IS NOT NULL AND ($3::text IS NULL OR id > $3)
    ORDER BY id LIMIT $4
"""  # noqa: S608  # ours
ONE = f"""
    SELECT {ROW}, text FROM rag_documents
    WHERE tenant_id = $1 AND collection = $2 AND id = $3 AND mark IS NOT NULL
"""  # noqa: S608  # ours


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents that are searched together.

    Args:
        model: the RAG graph that keeps its passages.
        embedding: the model that its vectors come from.
        version: another one after every change.
    """

    tenant_id: str
    name: str
    model: str
    embedding: str
    version: int
    documents: int
    passages: int
    text_bytes: int
    created_at: datetime

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "id": self.name,
            "object": "rag.collection",
            "model": self.model,
            "embedding_model": self.embedding,
            "version": self.version,
            "documents": self.documents,
            "passages": self.passages,
            "text_bytes": self.text_bytes,
            "created_at": int(self.created_at.timestamp()),
        }


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One document.

    Args:
        bytes: of the file or text that it came as.
        tokens: that were embedded.
        mark: under which its passages are in the store; another one each time it is replaced.
        text: its words; None in lists.
    """

    id: str
    collection: str
    title: str | None
    kind: str
    bytes: int
    text_bytes: int
    pages: int | None
    passages: int
    tokens: int
    metadata: Mapping[str, Any]
    mark: str
    created_at: datetime
    updated_at: datetime
    text: str | None = None

    def document(self) -> dict[str, Any]:
        """It as JSON; with its `text` where that was read."""
        facts = {
            "id": self.id,
            "object": "rag.document",
            "collection": self.collection,
            "title": self.title,
            "kind": self.kind,
            "bytes": self.bytes,
            "text_bytes": self.text_bytes,
            "pages": self.pages,
            "passages": self.passages,
            "tokens": self.tokens,
            "metadata": dict(self.metadata),
            "created_at": int(self.created_at.timestamp()),
            "updated_at": int(self.updated_at.timestamp()),
        }
        return facts if self.text is None else facts | {"text": self.text}


class DocumentBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def collection(self, tenant_id: str, name: str) -> Collection:
        """One collection. Raises NotFound, also for another tenant's."""
        row = await self._database.of(tenant_id).row(COLLECTION, tenant_id, known_id(name))
        if row is None:
            raise no_collection()
        return _collection(row)

    async def collections(self, tenant_id: str, after: str | None, limit: int) -> Page[Collection]:
        """A tenant's collections, by name."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            COLLECTIONS, tenant_id, after and known_id(after), limit + 1
        )
        return Page(tuple(_collection(row) for row in rows[:limit]), len(rows) > limit)

    async def head(self, tenant_id: str, name: str) -> tuple[str, int]:
        """The graph of a collection, and its version. Raises NotFound."""
        row = await self._database.of(tenant_id).row(
            "SELECT model, version FROM rag_collections WHERE tenant_id = $1 AND name = $2",
            tenant_id,
            known_id(name),
        )
        if row is None:
            raise no_collection()
        return row["model"], row["version"]

    async def find(self, tenant_id: str, collection: str, name: str) -> StoredDocument:
        """One document, with its text. Raises NotFound, also for another tenant's."""
        row = await self._database.of(tenant_id).row(
            ONE, tenant_id, known_id(collection), known_id(name)
        )
        if row is None:
            raise NotFound("no such document")
        return document_of(row, row["text"])

    async def page(
        self, tenant_id: str, collection: str, after: str | None, limit: int
    ) -> Page[StoredDocument]:
        """A collection's documents, by id, without their text."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            PAGE, tenant_id, known_id(collection), after and known_id(after), limit + 1
        )
        return Page(tuple(document_of(row) for row in rows[:limit]), len(rows) > limit)

    async def require_room(
        self, tenant_id: str, limit: int | None, collection: str, name: str | None, size: int
    ) -> None:
        """Raises StorageFull. See `auth.document_room`."""
        async with self._database.of(tenant_id).transaction() as connection:
            await require_room(connection, tenant_id, limit, collection, name, size)


def no_collection() -> NotFound:
    """There is none of that name, of this tenant."""
    return NotFound("no such collection: the first document that is added makes it")


def _collection(row: asyncpg.Record) -> Collection:
    return Collection(
        tenant_id=row["tenant_id"],
        name=row["name"],
        model=row["model"],
        embedding=row["embedding"],
        version=row["version"],
        documents=row["documents"],
        passages=int(row["passages"]),
        text_bytes=int(row["text_bytes"]),
        created_at=row["created_at"],
    )


def document_of(row: asyncpg.Record, text: str | None = None) -> StoredDocument:
    """A row of ONE or PAGE."""
    return StoredDocument(
        id=row["id"],
        collection=row["collection"],
        title=row["title"],
        kind=row["kind"],
        bytes=row["bytes"],
        text_bytes=row["text_bytes"],
        pages=row["pages"],
        passages=row["passages"],
        tokens=row["tokens"],
        metadata=orjson.loads(row["metadata"]),
        mark=row["mark"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        text=text,
    )
