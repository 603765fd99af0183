"""Images over HTTP: OpenAI's `/v1/images`, the styles, and older paths for the same.

Place in the path: step 1 for pictures. Uploads, and pictures given by URL, reach the model as
bytes; it judges them. Answers are the model's own JSON; only when a caller wants URLs are the
pictures put in the media store here, after the call was settled. It does not decode pictures.

    POST /api/text-to-image         POST /v1/images/generations
    POST /api/v1/generate/image     POST /v1/images/generations
    POST /api/image-to-image        POST /v1/images/edits
    GET  /styles                    GET  /v1/images/styles
"""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.principal import Principal, Scope
from core.errors import InvalidRequest
from core.images import ImageEditRequest, ImageRequest, ImageVariationRequest
from core.styles import styles
from ingress.call import Call
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.forms import FORM_TYPE, Form, read_form
from ingress.media.origin import origin_of
from ingress.media.store import Publisher
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, answer_response, json_response
from ingress.route_rules import PICTURE_FIELDS, RouteRules, wants_url

MAX_UPLOAD_BYTES = 64 * 2**20
"""Of a whole form: a picture, a mask and a control picture."""
UPLOADS = PICTURE_FIELDS["edit"]
MAX_FILES = 16


class PictureRequest(BaseModel):
    """POST /api/text-to-image and /api/v1/generate/image."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    style: str | None = None
    size: str | None = None
    model: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None


class Images:
    """Handlers over the request path.

    Args:
        publisher: where pictures go when a caller wants URLs; None refuses to make any.
        remote: fetches pictures given by URL; without it they are refused.
    """

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        publisher: Publisher | None = None,
        remote: RemoteMedia | None = None,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._rules = RouteRules(publisher, remote)

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST", "/v1/images/generations", self.generate, "Text to image", ImageRequest
            ),
            self._upload(
                "/v1/images/edits", self.edit, "Image to image, inpainting", ImageEditRequest
            ),
            self._upload(
                "/v1/images/variations", self.vary, "Variations of an image", ImageVariationRequest
            ),
            Endpoint("GET", "/v1/images/styles", self.styles, "Styles that prompts can name"),
            Endpoint("POST", "/api/text-to-image", self.text_to_image, "Alias", PictureRequest),
            Endpoint("POST", "/api/v1/generate/image", self.text_to_image, "Alias", PictureRequest),
            self._upload(
                "/api/image-to-image", self.image_to_image, "Alias of edits", ImageEditRequest
            ),
            Endpoint("GET", "/styles", self.style_names, "Alias of /v1/images/styles"),
        ]

    async def generate(self, exchange: Exchange) -> Response:
        """JSON in; JSON or events out."""
        principal = await self._principal(exchange)
        return await self._run(exchange, principal, "generate", await exchange.document())

    async def edit(self, exchange: Exchange) -> Response:
        """A form, or JSON with pictures in base64 or by URL."""
        principal = await self._principal(exchange)
        return await self._run(exchange, principal, "edit", await _document(exchange))

    async def vary(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        return await self._run(exchange, principal, "variation", await _document(exchange))

    async def styles(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.INFERENCE)
        data = [
            {"id": name, "object": "image.style", "description": style.description}
            for name, style in styles().items()
        ]
        return json_response({"object": "list", "data": data})

    async def style_names(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.INFERENCE)
        return json_response({"styles": list(styles())})

    async def text_to_image(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        request = validate(PictureRequest, await exchange.document())
        document = request.model_dump(exclude_none=True)
        return await self._plain(exchange, principal, "generate", document)

    async def image_to_image(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        return await self._plain(exchange, principal, "edit", await _document(exchange))

    def _upload(self, path: str, handler: Any, summary: str, request: type[BaseModel]) -> Endpoint:
        return Endpoint(
            "POST",
            path,
            handler,
            summary,
            request,
            files=tuple(name for name in UPLOADS if name in request.model_fields),
            max_body_bytes=MAX_UPLOAD_BYTES,
        )

    async def _principal(self, exchange: Exchange) -> Principal:
        return await self._path.identify(exchange.key, Scope.INFERENCE)

    async def _run(
        self, exchange: Exchange, principal: Principal, operation: str, document: dict[str, Any]
    ) -> Response:
        call = await self._call(exchange, principal, operation, document)
        if call.streamed:
            stream = await self._path.stream(call, exchange.key, principal)
            return StreamResponse(stream, openai_body)
        answer = await self._path.answer(call, exchange.key, principal)
        if not wants_url(call):
            return answer_response(answer)
        return json_response(await self._rules.with_urls(principal, answer, origin_of(exchange)))

    async def _plain(
        self, exchange: Exchange, principal: Principal, operation: str, document: dict[str, Any]
    ) -> Response:
        """The first picture in the flat answer of the older paths."""
        call = await self._call(exchange, principal, operation, document)
        if call.streamed:
            raise InvalidRequest("this path does not stream; /v1/images does", "stream")
        answer = await self._path.answer(call, exchange.key, principal)
        body = orjson.loads(answer.body)
        picture = body["data"][0]
        plain = {
            "success": True,
            "image": picture["b64_json"],
            "format": body["output_format"],
            "size": body["size"],
            "model": body["model"],
            "prompt": document.get("prompt"),
            "style": document.get("style"),
            "seed": picture["seed"],
        }
        if wants_url(call):
            urls = await self._rules.with_urls(principal, answer, origin_of(exchange))
            (published,) = urls["data"][:1]
            plain = {"image_url": published["url"]} | plain
            del plain["image"]
        return json_response(plain)

    async def _call(
        self, exchange: Exchange, principal: Principal, operation: str, document: dict[str, Any]
    ) -> Call:
        await self._rules.inline(operation, document)
        call = exchange.call(self._catalog, operation, document)
        await self._rules.apply(call, principal)
        return call


async def _document(exchange: Exchange) -> dict[str, Any]:
    """A form's fields and files, or a JSON object, as one document."""
    kind = exchange.http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM_TYPE:
        return await exchange.document()
    form = await read_form(exchange, max_files=MAX_FILES)
    return form.document() | _files(form)


def _files(form: Form) -> dict[str, Any]:
    form.only(*UPLOADS)
    found: dict[str, Any] = {}
    for name in UPLOADS:
        if name in form.files:
            upload = form.file(name)
            found[name] = {"data": upload.data, "media_type": upload.media_type}
    return found
