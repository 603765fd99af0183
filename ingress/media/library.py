"""A tenant's media over HTTP: upload, list, look up with a fresh URL, delete.

Place in the path: beside it; these requests are authenticated and cost no units. What they may
store is limited by the plan's storage.
"""

from typing import Any

from starlette.responses import Response

from auth.media import OwnedMedia
from auth.principal import Principal, Scope
from core.errors import InvalidRequest, UnknownParameter, UnsupportedMediaType
from ingress.accounts import timestamp
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.forms import FORM_TYPE, read_form
from ingress.media.kinds import UPLOADABLE, sniff
from ingress.media.naming import HASH, plain_hash
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.paging import Page, page_of
from ingress.path import RequestPath
from ingress.responses import json_response
from ingress.standing import storage_object


class Library:
    """Handlers over the media store.

    Args:
        upload_bytes: largest upload.
    """

    def __init__(self, path: RequestPath, store: MediaStore, upload_bytes: int) -> None:
        self._path = path
        self._store = store
        self._upload_bytes = upload_bytes

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/media",
                self.upload,
                "Upload media: a form with a `file`, or the bytes",
                files=("file",),
                status=201,
                max_body_bytes=self._upload_bytes,
            ),
            Endpoint(
                "GET", "/v1/media", self.list, "This tenant's media, newest first", query=Page
            ),
            Endpoint("GET", "/v1/media/{hash}", self.show, "One of them, with a fresh URL"),
            Endpoint("DELETE", "/v1/media/{hash}", self.delete, "Delete it, in caches too"),
        ]

    async def upload(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        media = await self._keep(principal, await _content(exchange))
        return json_response(self._object(media, exchange), 201)

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        asked = page_of(exchange)
        if asked.after is not None and not HASH.fullmatch(asked.after):
            raise InvalidRequest("'after' must be the id of one of the media", "after")
        page = await self._store.page(
            principal.tenant_id, asked.after, asked.limit, oldest_first=asked.oldest_first
        )
        storage = await self._store.storage.standing(principal)
        data = [self._object(media, exchange) for media in page.items]
        return json_response(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": page.has_more,
                "storage": {
                    "used_bytes": storage[0].used,
                    "limit_bytes": storage[0].limit,
                    "by_scope": [storage_object(state) for state in storage],
                },
            }
        )

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        media = await self._store.find(principal.tenant_id, _asked(exchange))
        return json_response(self._object(media, exchange))

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        blob = _asked(exchange)
        await self._store.delete(principal.tenant_id, blob)
        return json_response({"id": blob, "object": "media", "deleted": True})

    async def _keep(self, principal: Principal, data: bytes) -> OwnedMedia:
        kind = sniff(data)
        if kind is None:
            raise UnsupportedMediaType(f"send {UPLOADABLE}: this is none of them", "file")
        return await self._store.put(principal, data, kind.media_type)

    def _object(self, media: OwnedMedia, exchange: Exchange) -> dict[str, Any]:
        signed = self._store.signed(media)
        return {
            "id": media.hash,
            "object": "media",
            "media_type": media.media_type,
            "bytes": media.bytes,
            "created_at": timestamp(media.created_at),
            "expires_at": timestamp(media.expires_at),
            "url": self._store.absolute(signed.path, origin_of(exchange)),
            "url_expires_at": signed.expires,
        }


async def _content(exchange: Exchange) -> bytes:
    """The bytes to keep: the form's one file, or the whole body."""
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return await exchange.body()
    form = await read_form(exchange)
    for name in form.fields:
        raise UnknownParameter(f"Unrecognized request argument supplied: {name[:100]}", name[:100])
    form.only("file")
    return form.file("file").data


def _asked(exchange: Exchange) -> str:
    return plain_hash(exchange.http.path_params["hash"])
