"""Documents put in, replaced and taken out, each in one transaction.

Place in the path: under the RAG graph, which puts passages into a vector store and then says here
that they are there. What is not said here does not exist, whatever a store holds. Each version of a
document has a mark; passages in the store carry it. Marks whose passages may still be in the store
without being anybody's are kept until they are swept. It knows no vector store and no model.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from auth.collection_writes import KEPT_BY, require_open, require_same
from auth.database import Connection, Database
from auth.document_room import require_room
from auth.documents import ONE, StoredDocument, document_of, no_collection
from auth.paging import known_id
from core.errors import Conflict, InvalidRequest, NotFound

MARK_BYTES = 6
ID_BYTES = 12
ABANDONED_S = 3600
"""After so long, whoever was putting a document in has died."""

OPEN = """
    INSERT INTO rag_collections (tenant_id, name, model, embedding) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, name) DO NOTHING
"""
OPENED = KEPT_BY + " FOR KEY SHARE"
"""It is not deleted before the transaction ends."""
BEGIN = """
    INSERT INTO rag_documents (tenant_id, collection, id, pending) VALUES ($1, $2, $3, $4)
    ON CONFLICT (tenant_id, collection, id) DO UPDATE SET pending = excluded.pending,
        begun_at = now(), stale = array_remove(rag_documents.stale || rag_documents.pending, NULL)
"""
FINISH = """
    UPDATE rag_documents SET mark = pending, pending = NULL,
        stale = array_remove(stale || mark, NULL), title = $5, kind = $6, bytes = $7, pages = $8,
        passages = $9, tokens = $10, metadata = $11, text = $12, text_bytes = $13,
        updated_at = now()
    WHERE tenant_id = $1 AND collection = $2 AND id = $3 AND pending = $4
"""
IS_THERE = """
    SELECT mark IS NOT NULL FROM rag_documents
    WHERE tenant_id = $1 AND collection = $2 AND id = $3 FOR UPDATE
"""
GIVE_UP = """
    UPDATE rag_documents SET pending = nullif(pending, $4),
        stale = array_remove(stale, $4) || $4::text
    WHERE tenant_id = $1 AND collection = $2 AND id = $3
"""
MARKS = """
    SELECT array_remove(stale || mark || pending, NULL) AS marks FROM rag_documents
    WHERE tenant_id = $1 AND collection = $2 AND id = $3 AND mark IS NOT NULL
"""
DELETE = """
    DELETE FROM rag_documents WHERE tenant_id = $1 AND collection = $2 AND id = $3
    AND mark IS NOT NULL RETURNING array_remove(stale || mark || pending, NULL) AS marks
"""
LEFTOVERS = """
    SELECT id, stale || CASE WHEN begun_at < now() - $4 * interval '1 second'
        THEN array_remove(ARRAY[pending], NULL) ELSE '{}' END AS marks
    FROM rag_documents WHERE tenant_id = $1 AND collection = $2
    AND (stale <> '{}' OR pending IS NOT NULL AND begun_at < now() - $4 * interval '1 second')
    LIMIT $3
"""
SWEPT = """
    UPDATE rag_documents SET
        stale = ARRAY(SELECT unnest(stale) EXCEPT SELECT unnest($4::text[])),
        pending = CASE WHEN pending = ANY ($4) THEN NULL ELSE pending END
    WHERE tenant_id = $1 AND collection = $2 AND id = $3
"""
EMPTY = """
    DELETE FROM rag_documents WHERE tenant_id = $1 AND collection = $2 AND id = $3
    AND mark IS NULL AND pending IS NULL AND stale = '{}'
"""
CHANGE = """
    UPDATE rag_collections SET version = version + 1
    WHERE tenant_id = $1 AND name = $2 AND NOT closing
"""
"""First in a transaction, so that none waits in a circle: collections, then their documents."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What is said of a document when it is put in."""

    title: str | None
    kind: str
    bytes: int
    pages: int | None
    passages: int
    tokens: int
    metadata: Mapping[str, Any]
    text: str

    @property
    def text_bytes(self) -> int:
        """What it takes of the plan's storage."""
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Begun:
    """A document that is being put in; `mark` is of its passages, once they are in the store."""

    collection: str
    id: str
    mark: str


class DocumentWrites:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def require_room(
        self, tenant_id: str, limit: int | None, collection: str, name: str | None, size: int
    ) -> None:
        """Raises StorageFull. See `auth.document_room`; `finish` looks again."""
        async with self._database.of(tenant_id).transaction() as connection:
            await require_room(connection, tenant_id, limit, collection, name, size)

    async def begin(
        self, tenant_id: str, collection: str, name: str | None, model: str, embedding: str
    ) -> Begun:
        """A document is about to be put in. Nobody sees it before `finish`.

        Raises:
            Conflict: the collection is another graph's, has another model's vectors, or is being
                deleted.
        """
        name = name or f"doc-{secrets.token_hex(ID_BYTES)}"
        mark = secrets.token_hex(MARK_BYTES)
        async with self._database.of(tenant_id).transaction() as connection:
            await connection.execute(OPEN, tenant_id, collection, model, embedding)
            opened = await connection.fetchrow(OPENED, tenant_id, collection)
            if opened is None:  # deleted just now
                raise no_collection()
            require_same(opened, model, embedding)
            require_open(opened)
            await connection.execute(BEGIN, tenant_id, collection, name, mark)
        return Begun(collection, name, mark)

    async def finish(
        self,
        tenant_id: str,
        begun: Begun,
        document: NewDocument,
        storage_bytes: int | None = None,
    ) -> tuple[StoredDocument, bool]:
        """It is there from now on; whether in place of one of its id, whose passages are leftovers.

        Args:
            storage_bytes: what the tenant's documents may take together; None for no limit.

        Raises:
            Conflict: it was put in again, or deleted, meanwhile, alone or with its collection.
            InvalidRequest: PostgreSQL cannot hold it.
            StorageFull
        """
        key = (tenant_id, begun.collection, begun.id)
        async with self._database.of(tenant_id).transaction() as connection:
            size = document.text_bytes
            await require_room(connection, tenant_id, storage_bytes, *key[1:], size)
            if await connection.execute(CHANGE, *key[:2]) != "UPDATE 1":
                raise _overtaken()
            replaced = await connection.fetchval(IS_THERE, *key)
            await _finish(connection, key, begun.mark, document)
            row = await connection.fetchrow(ONE, *key)
        assert row is not None
        return document_of(row), bool(replaced)

    async def give_up(self, tenant_id: str, begun: Begun) -> None:
        """It was not put in after all: its passages are leftovers. What was there before stays."""
        await self._database.of(tenant_id).execute(
            GIVE_UP, tenant_id, begun.collection, begun.id, begun.mark
        )

    async def leftovers(
        self, tenant_id: str, collection: str, limit: int
    ) -> list[tuple[str, list[str]]]:
        """Documents, and marks under which passages may be in the store that are nobody's."""
        rows = await self._database.of(tenant_id).fetch(
            LEFTOVERS, tenant_id, collection, limit, ABANDONED_S
        )
        return [(row["id"], row["marks"]) for row in rows]

    async def swept(self, tenant_id: str, collection: str, name: str, marks: list[str]) -> None:
        """The passages under these marks are gone from the store."""
        async with self._database.of(tenant_id).transaction() as connection:
            await connection.execute(SWEPT, tenant_id, collection, name, marks)
            await connection.execute(EMPTY, tenant_id, collection, name)

    async def every_mark(self, tenant_id: str, collection: str, name: str) -> list[str]:
        """Marks that a document's passages are or may be under. Raises NotFound."""
        row = await self._database.of(tenant_id).row(
            MARKS, tenant_id, known_id(collection), known_id(name)
        )
        if row is None:
            raise NotFound("no such document")
        marks: list[str] = row["marks"]
        return marks

    async def delete(self, tenant_id: str, collection: str, name: str) -> list[str]:
        """Forget a document; the marks that it had at this moment. Raises NotFound."""
        async with self._database.of(tenant_id).transaction() as connection:
            await connection.execute(CHANGE, tenant_id, collection)
            row = await connection.fetchrow(DELETE, tenant_id, collection, name)
            if row is None:
                raise NotFound("no such document")
        marks: list[str] = row["marks"]
        return marks

    async def marks(self, tenant_id: str, collection: str, names: list[str]) -> dict[str, str]:
        """Under which marks these documents' passages are; none of those that are not there."""
        rows = await self._database.of(tenant_id).fetch(
            "SELECT id, mark FROM rag_documents WHERE tenant_id = $1 AND collection = $2"
            " AND id = ANY ($3) AND mark IS NOT NULL",
            tenant_id,
            collection,
            names,
        )
        return {row["id"]: row["mark"] for row in rows}


async def _finish(
    connection: Connection, key: tuple[str, str, str], mark: str, document: NewDocument
) -> None:
    try:
        done = await connection.execute(
            FINISH,
            *key,
            mark,
            document.title,
            document.kind,
            document.bytes,
            document.pages,
            document.passages,
            document.tokens,
            orjson.dumps(dict(document.metadata)).decode(),
            document.text,
            document.text_bytes,
        )
    except asyncpg.DataError as error:
        raise InvalidRequest("the text has characters that cannot be stored", "text") from error
    if done != "UPDATE 1":
        raise _overtaken()


def _overtaken() -> Conflict:
    return Conflict("the document was sent again, or deleted, while it was being stored", "id")
