"""Collections of documents: whose vectors they hold, and how they end.

Place in the path: under the RAG graph, beside `auth.document_writes`, which makes a collection with
its first document. A collection is closed before its passages are deleted from the vector store,
and its row goes after them: in between nothing is there and nothing is added. It knows no vector
store and no model.
"""

import asyncpg

from auth.database import Database
from auth.documents import no_collection
from auth.paging import known_id
from core.errors import Conflict

KEPT_BY = """
    SELECT name, model, embedding, closing FROM rag_collections
    WHERE tenant_id = $1 AND name = $2
"""
CLOSE = """
    UPDATE rag_collections SET version = version + 1, closing = true
    WHERE tenant_id = $1 AND name = $2 RETURNING name
"""
HIDE = """
    UPDATE rag_documents SET stale = array_remove(stale || mark, NULL), mark = NULL
    WHERE tenant_id = $1 AND collection = $2 AND mark IS NOT NULL
"""
DELETE = "DELETE FROM rag_collections WHERE tenant_id = $1 AND name = $2 RETURNING name"


class CollectionWrites:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def require_same(
        self, tenant_id: str, collection: str, model: str, embedding: str
    ) -> None:
        """Raises Conflict for a collection of another graph, or with another model's vectors."""
        row = await self._database.of(tenant_id).row(KEPT_BY, tenant_id, collection)
        if row is not None:
            require_same(row, model, embedding)

    async def require_open(self, tenant_id: str, collection: str) -> None:
        """Raises Conflict for a collection that is being deleted."""
        row = await self._database.of(tenant_id).row(KEPT_BY, tenant_id, collection)
        if row is not None:
            require_open(row)

    async def close(self, tenant_id: str, name: str) -> None:
        """Its documents are not there any more, and none is added, until it is deleted.

        Raises NotFound.
        """
        async with self._database.of(tenant_id).transaction() as connection:
            closed = await connection.fetchrow(CLOSE, tenant_id, known_id(name))
            if closed is None:
                raise no_collection()
            await connection.execute(HIDE, tenant_id, name)

    async def delete(self, tenant_id: str, name: str) -> None:
        """Forget a collection and its documents. Raises NotFound."""
        row = await self._database.of(tenant_id).row(DELETE, tenant_id, known_id(name))
        if row is None:
            raise no_collection()


def require_same(row: asyncpg.Record, model: str, embedding: str) -> None:
    """Raises Conflict for a row of KEPT_BY of another graph, or with another model's vectors."""
    if row["model"] != model:
        raise Conflict(
            f"the collection '{row['name']}' is kept by the model '{row['model']}'", "collection"
        )
    if row["embedding"] != embedding:
        raise Conflict(
            f"the vectors of the collection '{row['name']}' are of '{row['embedding']}', and"
            f" '{model}' uses '{embedding}': delete the collection, and add its documents again",
            "collection",
        )


def require_open(row: asyncpg.Record) -> None:
    """Raises Conflict for a row of KEPT_BY that is being deleted."""
    if row["closing"]:
        raise Conflict(
            f"the collection '{row['name']}' is being deleted: delete it again if that was cut"
            " short",
            "collection",
        )
