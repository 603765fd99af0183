"""The calls of one connection: each goes through the whole request path, as if it came by HTTP.

Place in the path: between a conversation and `ingress.path`. Credentials are looked at again for
every call, so that a revoked key ends a conversation at its next response. Nothing of it is kept in
the cache: a conversation is not said twice.
"""

import uuid
from typing import Any

from auth.principal import Scope
from core.errors import CarillonError
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.path import RequestPath, Stream
from ingress.rendering import openai_body

ENDPOINT = "/v1/realtime"
NO_CACHE = CachePolicy(read=False, write=False)


class Calls:
    """One connection's.

    Args:
        key: the caller's credentials, as they came with the handshake.
        session_id: what its calls have in common: their trace id, in logs and the ledger.
    """

    def __init__(self, path: RequestPath, catalog: Catalog, key: str, session_id: str) -> None:
        self._path = path
        self._catalog = catalog
        self._key = key
        self.session_id = session_id

    def prepare(
        self, operation: str, document: dict[str, Any], request_id: str | None = None
    ) -> Call:
        """A call of the model that `document` names. Raises ModelNotFound, InvalidRequest."""
        return call_of(
            self._catalog,
            operation,
            document | {"stream": True},
            request_id=request_id or uuid.uuid4().hex,
            trace_id=self.session_id,
            endpoint=ENDPOINT,
            cache=NO_CACHE,
        )

    async def stream(self, call: Call) -> Stream:
        """Identify, admit, dispatch. Raises whatever the request path raises."""
        principal = await self._path.identify(self._key, Scope.INFERENCE)
        return await self._path.stream(call, self._key, principal)

    def require(self, operation: str, model: str | None) -> None:
        """Raise unless there is such a model that can do it."""
        self._catalog.find(model, operation).operation(operation)


def error_object(error: CarillonError, event_id: str | None = None) -> dict[str, Any]:
    """An error as events tell it; `event_id` is of the client's event that it answers."""
    told = openai_body(error)["error"]
    known = {name: told[name] for name in ("type", "code", "message", "param")}
    return known if event_id is None else known | {"event_id": event_id}
