"""Responses: whole bodies and relayed streams.

Place in the path: after the request path, before the socket. Bytes pass through unread.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import CarillonError
from core.model import EVENT_STREAM
from ingress.path import Answer, Stream
from ingress.rendering import ErrorBody, error_event


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON body made here."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def answer_response(answer: Answer) -> Response:
    """A body that a model made."""
    return Response(answer.body, media_type=answer.media_type)


class StreamResponse(Response):
    """Relays a stream piece by piece.

    Serve cancels the request when the client goes away, so there is no second task here that
    listens for it. An error on the way becomes the last event of an event stream; any other
    stream is cut, so that nobody takes the part for the whole.
    """

    def __init__(self, stream: Stream, error_body: ErrorBody) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = stream.media_type
        self.body = b""
        self._stream = stream
        self._pieces = stream.pieces
        self._error_body = error_body
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    def through(self, relay: Callable[[Stream], AsyncGenerator[bytes, None]]) -> "StreamResponse":
        """The same response over pieces that `relay` passes on."""
        stream = Stream(relay(self._stream), self._stream.media_type)
        return StreamResponse(stream, self._error_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except CarillonError as error:
            if self.media_type != EVENT_STREAM:
                return  # uvicorn closes the connection of an answer without an end
            event = error_event(error, self._error_body)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            # Run the relay's `finally` now, not when the garbage collector comes by.
            await self._pieces.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    """`response` with more headers, whose names are in lower case; they replace its own.

    All at once: Starlette's own way looks through the whole list again for each of a dozen.
    """
    more = {name.encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}
    kept = [pair for pair in response.raw_headers if pair[0] not in more]
    response.raw_headers[:] = [*kept, *more.items()]
    return response
