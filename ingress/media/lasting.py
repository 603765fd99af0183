"""URLs for answers that are read later: they work as long as the media that they name.

Place in the path: between the rules of routes and the media store, for calls of jobs.
"""

from auth.principal import Principal
from ingress.media.store import MediaStore


class LastingUrls:
    """`Publisher` of URLs that do not expire before their media."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media

    async def require_room(self, principal: Principal) -> None:
        """Raises StorageFull when nothing more fits."""
        await self._media.require_room(principal)

    async def publish(
        self, principal: Principal, data: bytes, media_type: str, origin: str = ""
    ) -> str:
        """Keep `data`; its URL. Raises StorageFull."""
        return self._media.lasting_url(await self._media.put(principal, data, media_type), origin)
