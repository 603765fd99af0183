"""The library: documents whose passages are all there, or which are not there at all.

Place in the path: inside the RAG graph, between rows (`auth.document_writes`) and the vector store,
which share no transaction. Passages of a new version of a document go into the store under a mark
of their own, which no search shows until the row names it; then the old ones go. What a killed
process leaves in the store is seen by nobody, and swept when something is added or deleted next. It
embeds nothing and ranks nothing.
"""

import logging
from collections.abc import Sequence

from auth.collection_writes import CollectionWrites
from auth.database import Database
from auth.document_writes import Begun, DocumentWrites, NewDocument
from auth.documents import StoredDocument
from core.errors import CarillonError
from graphs.rag.vector_store import Found, Passage, Scope, VectorStore

MARKED = "~"
"""Between a document's id and its mark, in the store; no id has one."""
SWEPT_AT_ONCE = 20

logger = logging.getLogger("ray.serve")


class Library:
    """What tenants keep in one graph.

    Args:
        database: where the rows are.
        model: the graph's id.
        embedding: the model whose vectors it keeps.
    """

    def __init__(self, database: Database, store: VectorStore, model: str, embedding: str) -> None:
        self._rows = DocumentWrites(database)
        self._collections = CollectionWrites(database)
        self._store = store
        self._model = model
        self._embedding = embedding

    async def require_ours(self, scope: Scope) -> None:
        """Raises Conflict for a collection whose vectors are not this graph's."""
        await self._collections.require_same(
            scope.tenant, scope.collection, self._model, self._embedding
        )

    async def require_open(self, scope: Scope) -> None:
        """Raises Conflict for a collection that is being deleted."""
        await self._collections.require_open(scope.tenant, scope.collection)

    async def require_room(
        self, scope: Scope, name: str | None, size: int, storage_bytes: int | None
    ) -> None:
        """Raises StorageFull where a text of `size` bytes is more than the tenant may keep."""
        await self._rows.require_room(scope.tenant, storage_bytes, scope.collection, name, size)

    async def add(
        self,
        scope: Scope,
        name: str | None,
        document: NewDocument,
        passages: Sequence[Passage],
        vectors: Sequence[Sequence[float]],
        storage_bytes: int | None = None,
    ) -> tuple[StoredDocument, bool]:
        """Keep a document; whether it took the place of another of its id.

        Args:
            passages: in order; the document that they name is set here.
            storage_bytes: what the tenant's documents may take together; None for no limit.

        Raises:
            Conflict: the collection is not ours, or the document changed meanwhile.
            StorageFull: others took the room meanwhile.
            StoreUnavailable: nothing has changed.
        """
        begun = await self._rows.begin(
            scope.tenant, scope.collection, name, self._model, self._embedding
        )
        named = marked(begun.id, begun.mark)
        own = [
            Passage(named, each.position, each.text, {**each.metadata, "document": begun.id})
            for each in passages
        ]
        try:
            await self._store.upsert(scope, own, vectors)
            kept = await self._rows.finish(scope.tenant, begun, document, storage_bytes)
        except BaseException:
            await self._undo(scope, begun)
            raise
        await self.sweep(scope)
        return kept

    async def delete(self, scope: Scope, name: str) -> None:
        """Forget a document: its passages first, so that none outlives it. Raises NotFound."""
        gone = await self._rows.every_mark(scope.tenant, scope.collection, name)
        await self._forget(scope, name, gone)
        later = await self._rows.delete(scope.tenant, scope.collection, name)
        await self._forget(scope, name, [mark for mark in later if mark not in gone])
        await self.sweep(scope)

    async def delete_collection(self, scope: Scope) -> None:
        """Forget a collection, passages first. Raises NotFound.

        It is closed before: whoever is putting a document in is told at the end, and takes its
        passages out again. What is cut short in between is finished by deleting it again.
        """
        await self._collections.close(scope.tenant, scope.collection)
        await self._store.delete_collection(scope)
        await self._collections.delete(scope.tenant, scope.collection)

    async def alive(self, scope: Scope, found: Sequence[Found]) -> list[Found]:
        """Those found that are of documents as they are now."""
        names = {split(each.passage.document)[0] for each in found}
        marks = await self._rows.marks(scope.tenant, scope.collection, sorted(names))
        return [each for each in found if _is_alive(each.passage, marks)]

    async def sweep(self, scope: Scope) -> None:
        """Delete passages that are nobody's. What fails is swept another time."""
        try:
            left = await self._rows.leftovers(scope.tenant, scope.collection, SWEPT_AT_ONCE)
            for name, marks in left:
                await self._forget(scope, name, marks)
                await self._rows.swept(scope.tenant, scope.collection, name, marks)
        except CarillonError as error:
            logger.warning("passages that are nobody's were not swept: %s", error)

    async def _undo(self, scope: Scope, begun: Begun) -> None:
        """Noted before it is tried: what cannot be deleted now is swept another time."""
        try:
            await self._rows.give_up(scope.tenant, begun)
            await self._forget(scope, begun.id, [begun.mark])
            await self._rows.swept(scope.tenant, begun.collection, begun.id, [begun.mark])
        except CarillonError as error:
            logger.warning("passages of a document that was not stored are left: %s", error)

    async def _forget(self, scope: Scope, name: str, marks: Sequence[str]) -> None:
        for mark in marks:
            await self._store.delete_document(scope, marked(name, mark))


def marked(name: str, mark: str) -> str:
    """A document's name in the store."""
    return f"{name}{MARKED}{mark}"


def split(name: str) -> tuple[str, str]:
    """Id and mark of a document's name in the store."""
    before, _, after = name.rpartition(MARKED)
    return before, after


def _is_alive(passage: Passage, marks: dict[str, str]) -> bool:
    name, mark = split(passage.document)
    return marks.get(name) == mark
