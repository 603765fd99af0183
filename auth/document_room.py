"""Room for documents: how much of its plan's storage a tenant's documents take.

Place in the path: asked before a document is read, before it is embedded, and once more in the
transaction that puts it in, so that concurrent ones cannot overrun the plan. It counts the bytes of
their text; media are counted apart, by `auth.media`.
"""

from auth.database import Connection
from auth.quota import storage_refusal
from auth.storage import StorageState

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
OTHERS = """
    SELECT coalesce(sum(text_bytes), 0)::bigint FROM rag_documents
    WHERE tenant_id = $1 AND (collection, id) IS DISTINCT FROM ($2::text, $3::text)
"""


async def require_room(
    connection: Connection,
    tenant_id: str,
    limit: int | None,
    collection: str,
    name: str | None,
    size: int,
) -> None:
    """Until the transaction ends, no other document of the tenant's takes room.

    First in its transaction, so that none waits in a circle.

    Args:
        limit: bytes that the tenant's documents may take; None for no limit.
        name: the document's id, of which what it takes now is not counted; None for a new one.
        size: bytes of its text.

    Raises:
        StorageFull
    """
    if limit is None:
        return
    await connection.execute(LOCK, f"documents:{tenant_id}")
    used = await connection.fetchval(OTHERS, tenant_id, collection, name)
    state = StorageState("tenant", limit, used)
    if not state.has_room(size):
        raise storage_refusal(state, size, "documents")
