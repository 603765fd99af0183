"""Delivery of media: `GET` and `HEAD /media/<hash>.<ext>` with a signed URL.

Place in the path: beside it. No key is needed, the signature is the permission; it is checked
before anything is looked up. Bodies never change, so browsers may keep them for 30 days; shared
caches ask again within a minute, and never serve beyond the signature's expiry.
"""

from collections.abc import AsyncGenerator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from auth.media import OwnedMedia
from core.errors import RangeNotSatisfiable
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.media.kinds import PAGE, kind_of
from ingress.media.naming import media_name
from ingress.media.ranges import byte_range, matches_any, range_applies
from ingress.media.store import MediaStore

BROWSER_S = 30 * 86_400
PAGE_S = 60
"""A page that was withdrawn must not stay with those who saw it."""
SHARED_CACHE_S = 60
"""How long a CDN may answer without asking: how fast a deletion reaches it without a purge."""


class Delivery:
    """Handlers over the media store."""

    def __init__(self, store: MediaStore) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("HEAD", "/media/{name}", self.head, "Media, headers only", public=True),
            Endpoint("GET", "/media/{name}", self.get, "Media, by signed URL", public=True),
        ]

    async def get(self, exchange: Exchange) -> Response:
        return await self._answer(exchange, with_body=True)

    async def head(self, exchange: Exchange) -> Response:
        return await self._answer(exchange, with_body=False)

    async def _answer(self, exchange: Exchange, *, with_body: bool) -> Response:
        exchange.headers["cache-control"] = "no-store"  # of errors
        name = exchange.http.path_params["name"]
        media, left_s = await self._store.granted(name, exchange.http.query_params)
        terms = _public_terms(left_s, PAGE_S if kind_of(media.media_type) is PAGE else BROWSER_S)
        return await media_response(exchange, self._store, media, terms, with_body=with_body)


async def media_response(
    exchange: Exchange,
    store: MediaStore,
    media: OwnedMedia,
    terms: Mapping[str, str],
    *,
    with_body: bool = True,
) -> Response:
    """The media, or the part of them that the request asks for, or that they are unchanged.

    Args:
        terms: headers that say who may keep and embed them.

    Raises:
        RangeNotSatisfiable, NotFound, StoreUnavailable
    """
    known = {**terms, "etag": _etag(media)}
    if matches_any(exchange.http.headers.get("if-none-match"), _etag(media)):
        exchange.headers |= known
        return Response(status_code=304)
    part = _wanted(exchange, media)
    start, end = part or (0, media.bytes)
    headers = _content_headers(media) | {"content-length": str(end - start)}
    if part:
        headers["content-range"] = f"bytes {start}-{end - 1}/{media.bytes}"
    response = Response(status_code=206 if part else 200, headers=headers)
    if with_body:
        pieces = store.pieces(media, start, end)
        # What is missing is an error now, not a cut body.
        response = PiecesResponse(response, await anext(pieces), pieces)
    exchange.headers |= known
    return response


class PiecesResponse(Response):
    """Sends a body piece by piece, each read when the one before has been taken."""

    def __init__(self, head: Response, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self.status_code = head.status_code
        self.raw_headers = head.raw_headers
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send(start | {"headers": self.raw_headers})
        try:
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for piece in self._rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            await self._rest.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _wanted(exchange: Exchange, media: OwnedMedia) -> tuple[int, int] | None:
    """The part that the caller asks for. Raises RangeNotSatisfiable, with the size in a header."""
    asked = exchange.http.headers
    if not range_applies(asked.get("if-range"), _etag(media)):
        return None
    try:
        return byte_range(asked.get("range"), media.bytes)
    except RangeNotSatisfiable:
        exchange.headers["content-range"] = f"bytes */{media.bytes}"
        raise


def _etag(media: OwnedMedia) -> str:
    return f'"{media.hash}"'


def _public_terms(left_s: int, browser_s: int) -> dict[str, str]:
    shared = min(SHARED_CACHE_S, left_s)
    return {
        "cache-control": f"public, max-age={browser_s}, s-maxage={shared}, immutable",
        # The URL is the permission, whichever page it is on.
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
    }


def _content_headers(media: OwnedMedia) -> dict[str, str]:
    kind = kind_of(media.media_type)
    headers = {
        "content-type": kind.served_as or media.media_type,
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
        "content-disposition": f"{'inline' if kind.inline else 'attachment'};"
        f' filename="{media_name(media)}"',
    }
    if kind.policy is not None:
        headers["content-security-policy"] = kind.policy
    return headers
