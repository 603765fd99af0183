"""Purges: how a deletion reaches caches at once.

Place in the path: called by `MediaStore.delete`. Without them a deletion still reaches shared
caches within a minute, because they must ask again; a purge that fails is logged and no more.
"""

import logging
from collections.abc import Awaitable, Callable

import httpx

from auth.media import OwnedMedia
from core.errors import CarillonError
from ingress.media.naming import media_name

TIMEOUT_S = 2.0
logger = logging.getLogger("ray.serve")


class CdnPurge:
    """Sends `PURGE /media/<name>` to a cache (nginx with a purge module, Varnish, …).

    Args:
        url: where that cache is, as this gateway reaches it.
        transport: how; httpx's own when not given.
    """

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, transport=transport, trust_env=False)

    async def __call__(self, media: OwnedMedia) -> None:
        try:
            answer = await self._client.request("PURGE", f"{self._url}/media/{media_name(media)}")
        except httpx.HTTPError as error:
            logger.warning("the CDN was not purged: %s", type(error).__name__)
            return
        if answer.status_code not in (200, 204, 404):
            logger.warning("the CDN was not purged: it answered %s", answer.status_code)


class AnswersPurge:
    """Empties the tenant's response cache: answers there hold what was deleted, or quote it.

    Args:
        clear: `ValkeyAdmission.cache_clear`.
    """

    def __init__(self, clear: Callable[[str], Awaitable[int]]) -> None:
        self._clear = clear

    async def __call__(self, media: OwnedMedia) -> None:
        await self.of_tenant(media.tenant_id)

    async def of_tenant(self, tenant_id: str) -> None:
        """Forget every cached answer of a tenant. Does not raise."""
        try:
            await self._clear(tenant_id)
        except CarillonError as error:
            logger.warning("cached answers were not cleared: %s", error)
