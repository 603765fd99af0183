"""A tenant's gallery over HTTP: what its image workflows made, and how.

Place in the path: beside it; these requests are authenticated and cost no units. Pictures get into
it by `ingress.image_workflows`; their bytes are media, with media's URLs, storage and retention.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from auth.gallery import GalleryBook, GalleryItem
from auth.media import OwnedMedia
from auth.principal import Scope
from core.errors import InvalidRequest, NotFound, UnknownParameter
from ingress.accounts import timestamp
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.paging import page_of
from ingress.path import RequestPath
from ingress.queries import GalleryQuery
from ingress.responses import json_response

MAX_WORDS = 200
"""Characters of a query for words of prompts."""
PARAMETERS = ("q", "tag", "after", "limit", "order")


class Gallery:
    """Handlers over the gallery's rows and the media store."""

    def __init__(self, path: RequestPath, book: GalleryBook, media: MediaStore) -> None:
        self._path = path
        self._book = book
        self._media = media

    def endpoints(self) -> list[Endpoint]:
        item = "/v1/gallery/{item_id}"
        return [
            Endpoint("GET", "/v1/gallery", self.list, "Pictures of workflows", query=GalleryQuery),
            Endpoint("GET", item, self.show, "One of them, with fresh URLs"),
            Endpoint("DELETE", item, self.delete, "Delete it, with its pictures"),
        ]

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        query = exchange.http.query_params
        for name in query:
            if name not in PARAMETERS:
                raise UnknownParameter(f"there is no parameter '{name[:100]}'", name[:100])
        words = query.get("q") or None
        if words is not None and len(words) > MAX_WORDS:
            raise InvalidRequest(f"'q' may have {MAX_WORDS} characters", "q")
        asked = page_of(exchange)
        page = await self._book.page(
            principal.tenant_id,
            words,
            query.get("tag") or None,
            asked.after,
            asked.limit,
            oldest_first=asked.oldest_first,
        )
        blobs = {blob for item in page.items for blob in item.hashes}
        media = await self._media.find_all(principal.tenant_id, blobs) if blobs else {}
        data = [self._object(item, media, exchange) for item in page.items]
        return json_response(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": page.has_more,
            }
        )

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        item = await self._book.find(principal.tenant_id, exchange.http.path_params["item_id"])
        media = await self._media.find_all(principal.tenant_id, item.hashes)
        return json_response(self._object(item, media, exchange))

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["item_id"]
        for blob in await self._book.delete(principal.tenant_id, name):
            with suppress(NotFound):  # deleted as media, or expired, before its item
                await self._media.delete(principal.tenant_id, blob)
        return json_response({"id": name, "object": "gallery.item", "deleted": True})

    def _object(
        self, item: GalleryItem, media: Mapping[str, OwnedMedia], exchange: Exchange
    ) -> dict[str, Any]:
        finished = media.get(item.hash)
        return {
            "id": item.id,
            "object": "gallery.item",
            "created_at": timestamp(item.created_at),
            "expires_at": None if finished is None else timestamp(finished.expires_at),
            "prompt": item.prompt,
            "description": item.description,
            "seed": item.seed,
            "model": item.model,
            "size": item.size,
            "tags": list(item.tags),
            **self._picture(finished, item.hash, exchange),
            "media_type": None if finished is None else finished.media_type,
            "bytes": None if finished is None else finished.bytes,
            "stages": [self._stage(stage, media, exchange) for stage in item.stages],
        }

    def _stage(
        self, stage: dict[str, Any], media: Mapping[str, OwnedMedia], exchange: Exchange
    ) -> dict[str, Any]:
        if "media" not in stage:
            return stage
        blob = stage["media"]
        return stage | self._picture(media.get(blob), blob, exchange)

    def _picture(self, media: OwnedMedia | None, blob: str, exchange: Exchange) -> dict[str, Any]:
        """A picture's hash and URL; no URL where it was deleted."""
        url = None if media is None else self._media.url(media, origin_of(exchange))
        return {"media": blob, "url": url}
