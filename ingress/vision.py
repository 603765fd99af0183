"""Vision over HTTP: descriptions of pictures, in JSON or as a form.

    POST /v1/images/descriptions   caption, ocr or question
    POST /api/image-to-text        the older service's name for it: {"image", "prompt"?} or a form

Place in the path: step 1. A form's file and a JSON document's base64 become the same request; the
alias translates names. Chats with pictures are `/v1/chat/completions`, as every chat.
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.principal import Scope
from core.errors import InvalidRequest
from core.pictures import PictureField, check_declared, picture_header
from core.vision import MAX_QUESTION, DescriptionRequest
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.forms import FORM_TYPE, read_form
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response, json_response

MAX_BODY_BYTES = 28 * 2**20
"""20 MiB of picture in base64, and the rest of the document."""


class ImageToTextRequest(BaseModel):
    """POST /api/image-to-text."""

    model_config = ConfigDict(extra="forbid")

    image: PictureField
    prompt: str | None = Field(None, max_length=MAX_QUESTION)
    model: str | None = None
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)

    def as_description(self) -> dict[str, Any]:
        """The same request in our own words."""
        fields = self.model_dump(include={"image", "model", "max_tokens"}, exclude_none=True)
        if self.prompt:
            return fields | {"task": "question", "question": self.prompt}
        return fields | {"task": "caption"}


class VisionEndpoints:
    """Handlers over the request path."""

    def __init__(
        self, path: RequestPath, catalog: Catalog, remote: RemoteMedia | None = None
    ) -> None:
        """`remote` fetches pictures given by URL; without it they are refused."""
        self._path = path
        self._catalog = catalog
        self._remote = remote

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/images/descriptions",
                self.describe,
                "Describe a picture, answer a question about it, or read its text",
                DescriptionRequest,
                files=("image",),
                max_body_bytes=MAX_BODY_BYTES,
            ),
            Endpoint(
                "POST",
                "/api/image-to-text",
                self.image_to_text,
                "Alias of /v1/images/descriptions",
                ImageToTextRequest,
                files=("image",),
                max_body_bytes=MAX_BODY_BYTES,
            ),
        ]

    async def describe(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await self._document(exchange, "image")
        call = exchange.call(self._catalog, "describe", document)
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        return answer_response(await self._path.answer(call, exchange.key, principal))

    async def image_to_text(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        request = validate(ImageToTextRequest, await self._document(exchange, "image", "file"))
        call = exchange.call(self._catalog, "describe", request.as_description())
        answer = orjson.loads((await self._path.answer(call, exchange.key, principal)).body)
        return json_response(
            {
                "text": answer["text"],
                "model": answer["model"],
                "usage": answer["usage"],
                "cached": exchange.headers.get("x-cache") == "HIT",
                "response_time_ms": call.elapsed_ms(),
            }
        )

    async def _document(self, exchange: Exchange, *file_names: str) -> dict[str, Any]:
        """The request as a document, whether it came as JSON or as a form with a file.

        Raises:
            InvalidRequest: no file, several, or one that is no picture of the type that it claims.
            UnsupportedMediaType, MalformedBody, BodyTooLarge
        """
        kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != FORM_TYPE:
            document = await exchange.document()
            if self._remote is not None:
                await self._remote.inline(document, "image")
            return document
        form = await read_form(exchange)
        form.only(*file_names)
        document = form.document()
        if "image" in document and not form.files:
            return document  # base64 in a plain field
        upload = form.file(*file_names)
        try:
            check_declared(picture_header(upload.data), upload.media_type)
        except ValueError as error:
            raise InvalidRequest(f"Invalid value for 'image': {error}", "image") from error
        return document | {"image": upload.data}
