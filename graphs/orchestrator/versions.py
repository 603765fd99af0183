"""Versions: of which state of a tenant's documents a step asks.

Place in the path: before a step's call, where a graph's own routes do the same (`ingress.rag`). A
question says which version of its collection it is about, so that an answer is reused until
something changes there, and no longer. It calls no graph, and empties no cache: the path does.
"""

from typing import Any

from auth.documents import DocumentBook
from core.model import Operation
from core.rag import DEFAULT_COLLECTION

VERSION = "version"


class Versions:
    """Those of all tenants' collections."""

    def __init__(self, documents: DocumentBook) -> None:
        self._documents = documents

    async def told(
        self, operation: Operation, document: dict[str, Any], tenant_id: str
    ) -> dict[str, Any]:
        """A request with the version that it is about, where its operation asks for that.

        Raises NotFound: there is no such collection of this tenant.
        """
        if operation.tenant_field is None or VERSION not in operation.request.model_fields:
            return document
        collection = document.get("collection", DEFAULT_COLLECTION)
        if not isinstance(collection, str):
            return document  # the operation's own type says what is wrong
        _, version = await self._documents.head(tenant_id, collection)
        return document | {VERSION: version}
