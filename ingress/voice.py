"""Voice over HTTP: something said in, a spoken answer out.

    POST /v1/voice   a form with a `file`, or JSON with base64 or a `text`

Place in the path: step 1. Requests are the voice graph's own type; a stream is its own bytes, and
of a whole answer `output: audio` takes the sound out of the JSON. Conversations over a WebSocket
are `ingress.realtime`.
"""

import base64
from typing import Any
from urllib.parse import quote

import orjson
from starlette.responses import Response

from auth.principal import Scope
from core.voice import VoiceRequest
from ingress.audio import BASE64_BYTES, recorded
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response

OPERATION = "converse"
LONGEST_HEADER = 2000
"""Characters of a text that travels in a header, percent-encoded; proxies take few kilobytes."""


class VoiceEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/voice",
                self.converse,
                "Speech to a spoken answer",
                VoiceRequest,
                files=("file",),
                max_body_bytes=BASE64_BYTES,
            )
        ]

    async def converse(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        call = exchange.call(self._catalog, OPERATION, await recorded(exchange, "file"))
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        answer = await self._path.answer(call, exchange.key, principal)
        assert isinstance(call.request, VoiceRequest)
        if call.request.output == "audio":
            return _sound(orjson.loads(answer.body))
        return answer_response(answer)


def _sound(answer: dict[str, Any]) -> Response:
    """The bare sound; what was heard and said is in headers, as UTF-8 and percent-encoded."""
    headers = {
        "x-voice-transcript": _header(answer["transcript"] or ""),
        "x-voice-text": _header(answer["text"]),
        "x-voice-finish-reason": answer["finish_reason"],
    }
    sound = base64.b64decode(answer["audio"]["data"])
    return Response(sound, headers=headers, media_type=answer["audio"]["media_type"])


def _header(text: str) -> str:
    """As much of `text` as fits, by whole characters."""
    while (length := len(quote(text))) > LONGEST_HEADER:
        text = text[: min(len(text) - 1, len(text) * LONGEST_HEADER // length)]
    return quote(text)
