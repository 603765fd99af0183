"""Audio over HTTP: text to speech, speech to text, voices.

    POST /v1/audio/speech           text to audio, as it is made
    POST /v1/audio/transcriptions   a recording to text, in its own language
    POST /v1/audio/translations     a recording to English text
    GET  /v1/audio/voices           the voices of a speech model
    GET  /v1/audio/models           the speech models
    POST /api/text-to-speech        the older service's name: {"text", "voice"?, "speed"?, ...}
    POST /api/speech-to-text        and its other one: a form with a `file` or an `audio`

Place in the path: step 1. Forms become the same requests as JSON; aliases translate names. What a
recording holds is the model's to find out.
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.principal import Principal, Scope
from core.speech import MAX_CHARACTERS, AudioFormat, SpeechRequest, VoicesRequest
from core.transcription import MAX_BYTES, TranscriptionRequest, TranslationRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.forms import FORM_TYPE, read_form
from ingress.path import RequestPath
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response, json_response

FORM_ROOM = 2**20
"""Bytes of a form around its file."""
BASE64_BYTES = MAX_BYTES * 4 // 3 + FORM_ROOM


class TextToSpeechRequest(BaseModel):
    """POST /api/text-to-speech."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    voice: str | None = None
    speed: float = Field(1.0, ge=0.25, le=4.0)
    language: str | None = None
    format: AudioFormat = "wav"
    model: str | None = None

    def as_speech(self) -> dict[str, Any]:
        """The same request in OpenAI's words."""
        fields = self.model_dump(exclude={"text", "format"}, exclude_none=True)
        return fields | {"input": self.text, "response_format": self.format}


class AudioEndpoints:
    """Handlers over the request path."""

    def __init__(self, path: RequestPath, catalog: Catalog) -> None:
        self._path = path
        self._catalog = catalog

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("POST", "/v1/audio/speech", self.speak, "Text to speech", SpeechRequest),
            Endpoint(
                "POST",
                "/v1/audio/transcriptions",
                self.transcribe,
                "Speech to text",
                TranscriptionRequest,
                files=("file",),
                max_body_bytes=BASE64_BYTES,
            ),
            Endpoint(
                "POST",
                "/v1/audio/translations",
                self.translate,
                "Speech to English text",
                TranslationRequest,
                files=("file",),
                max_body_bytes=BASE64_BYTES,
            ),
            Endpoint(
                "GET",
                "/v1/audio/voices",
                self.voices,
                "Voices of a speech model",
                query=VoicesRequest,
            ),
            Endpoint("GET", "/v1/audio/models", self.models, "Speech models"),
            Endpoint(
                "POST",
                "/api/text-to-speech",
                self.text_to_speech,
                "Alias of /v1/audio/speech",
                TextToSpeechRequest,
            ),
            Endpoint(
                "POST",
                "/api/speech-to-text",
                self.speech_to_text,
                "Alias of /v1/audio/transcriptions",
                TranscriptionRequest,
                files=("file",),
                max_body_bytes=BASE64_BYTES,
            ),
        ]

    async def speak(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await exchange.document()
        return await self._answer(exchange, principal, "speak", document)

    async def transcribe(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await recorded(exchange, "file")
        return await self._answer(exchange, principal, "transcribe", document)

    async def translate(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await recorded(exchange, "file")
        return await self._answer(exchange, principal, "translate", document)

    async def voices(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = dict(exchange.http.query_params)
        return await self._answer(exchange, principal, "voices", document)

    async def models(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        allowed = principal.allowed_models
        names = [model.card.id for model in self._catalog if "speak" in model.spec.operations]
        seen = [{"id": name} for name in names if allowed is None or name in allowed]
        return json_response({"object": "list", "data": seen, "models": seen})

    async def text_to_speech(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(TextToSpeechRequest)
        return await self._answer(exchange, principal, "speak", request.as_speech())

    async def speech_to_text(self, exchange: Exchange) -> Response:
        """`{"text", "language", "duration", ...}`: a transcript with its times."""
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await recorded(exchange, "file", "audio")
        request = {"response_format": "verbose_json"} | document
        call = exchange.call(self._catalog, "transcribe", request)
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        answer = await self._path.answer(call, exchange.key, principal)
        if answer.media_type != "application/json":
            return answer_response(answer)
        facts = {
            "model": call.model.card.id,
            "cached": exchange.headers.get("x-cache") == "HIT",
            "response_time_ms": call.elapsed_ms(),
        }
        return json_response(orjson.loads(answer.body) | facts)

    async def _answer(
        self,
        exchange: Exchange,
        principal: Principal,
        operation: str,
        document: dict[str, Any],
    ) -> Response:
        call = exchange.call(self._catalog, operation, document)
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        return answer_response(await self._path.answer(call, exchange.key, principal))


async def recorded(exchange: Exchange, *file_names: str) -> dict[str, Any]:
    """The request as a document, from a form with a file or from JSON with base64.

    Raises:
        InvalidRequest: no file, several, or an empty one.
        UnsupportedMediaType, MalformedBody, BodyTooLarge
    """
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        document = await exchange.document()
        for name in file_names[1:]:
            if name in document:
                document.setdefault(file_names[0], document.pop(name))
        return document
    form = await read_form(exchange)
    form.only(*file_names)
    return form.document() | {file_names[0]: form.file(*file_names).data}
