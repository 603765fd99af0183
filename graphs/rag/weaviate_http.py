"""Calls to Weaviate: its REST paths, GraphQL through one of them, and what their failures mean.

Place in the path: under the Weaviate store, which says what to ask. Errors never carry what was
asked: it may be a passage.
"""

import logging
from collections.abc import Sequence
from typing import Any

import httpx

from core.errors import CarillonError, StoreUnavailable
from graphs.rag.store_settings import WeaviateStore

logger = logging.getLogger("ray.serve")

NO_TENANT = "tenant not found"


class NoTenant(CarillonError):
    """A scope that nothing was ever put into."""


class WeaviateHttp:
    """One Weaviate server."""

    def __init__(self, settings: WeaviateStore) -> None:
        headers = {}
        if settings.api_key is not None:
            headers["Authorization"] = f"Bearer {settings.api_key.resolve().get_secret_value()}"
        self._http = httpx.AsyncClient(
            base_url=settings.url, headers=headers, timeout=settings.timeout_s
        )

    async def call(
        self, method: str, path: str, document: Any = None, fine: Sequence[int] = ()
    ) -> Any:
        """The JSON of an answer, or None for one of a status in `fine` or without a body.

        Raises:
            NoTenant: it is about a tenant that is not there.
            StoreUnavailable: no answer, or a refusal, which is logged.
        """
        try:
            answer = await self._http.request(method, path, json=document)
        except httpx.HTTPError as error:
            raise StoreUnavailable("Weaviate does not answer", retry_after_s=1.0) from error
        if answer.status_code in fine:
            return None
        if answer.is_error:
            raise _refusal(answer.text)
        return answer.json() if answer.content else None

    async def query(self, query: str) -> Any:
        """The data of a GraphQL query. The same errors as `call`."""
        answer = await self.call("POST", "/v1/graphql", {"query": query})
        errors = answer.get("errors")
        if errors:
            raise _refusal("; ".join(str(each.get("message")) for each in errors))
        return answer["data"]

    async def put(self, objects: Sequence[dict[str, Any]]) -> None:
        """Write objects: a batch is a success even when some of it failed, so each is looked at."""
        for each in await self.call("POST", "/v1/batch/objects", {"objects": objects}):
            errors = (each.get("result") or {}).get("errors")
            if errors:
                raise _refusal(str(errors))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()


def _refusal(reason: str) -> CarillonError:
    if NO_TENANT in reason:
        return NoTenant("Weaviate has no such tenant")
    logger.error("Weaviate refused: %s", reason[:1_000])
    return StoreUnavailable("Weaviate refused a call; its answer is in the log", None, 1.0)
