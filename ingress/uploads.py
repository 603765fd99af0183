"""Uploads: a large body takes room in memory before it is read.

Place in the path: around the handler of every endpoint that takes large bodies and knows its
callers. Small bodies, whose length was said, pass by: how many of those there are at once, Serve
bounds. It does not read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from starlette.responses import Response

from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.media.room import UploadRoom
from ingress.path import RequestPath

SMALL_BODY = 2**20
"""Bytes of a body that takes no room."""
WITHOUT_BODY = ("GET", "HEAD")


class Uploads:
    """Wraps endpoints.

    Args:
        room: for all of them together.
    """

    def __init__(self, path: RequestPath, room: UploadRoom) -> None:
        self._path = path
        self._room = room

    @classmethod
    def among(cls, path: RequestPath, table: Sequence[Endpoint]) -> "Uploads":
        """With room for a few of the largest bodies that an endpoint of `table` takes."""
        return cls(path, UploadRoom.of_largest(largest_body(table)))

    def applied(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint`, reading large bodies only while there is room for them."""
        if endpoint.public or endpoint.max_body_bytes <= SMALL_BODY:
            return endpoint
        if endpoint.method in WITHOUT_BODY:
            return endpoint

        async def handler(exchange: Exchange) -> Response:
            size = exchange.declared_bytes
            if size is None or size > SMALL_BODY:
                principal = await self._path.recognise(exchange.key)
                exchange.reserve(principal.tenant_id)
            return await endpoint.handler(exchange)

        return replace(endpoint, handler=handler, room=self._room)


def largest_body(table: Iterable[Endpoint]) -> int:
    """Bytes of the largest body that an endpoint reads."""
    return max((e.max_body_bytes for e in table if e.method not in WITHOUT_BODY), default=0)
