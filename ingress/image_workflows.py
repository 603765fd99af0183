"""Image workflows over HTTP: a batch of pictures through its stages, into the tenant's gallery.

Place in the path: step 1, and after step 5. The request is the graph's own type plus what becomes
of the pictures; the graph answers in base64, and only then, settled, they are put into the media
store and the gallery: all of them, or none. It does not decode pictures.

    POST /v1/images/workflows
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import Response

from auth.gallery import GalleryBook
from auth.principal import Principal, Scope
from core.errors import InvalidRequest, NotFound
from core.image_workflow import MAX_PICTURES, ImageWorkflowRequest
from core.pictures import MAX_BYTES
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.exhibition import Exhibition, drop_bytes
from ingress.media.naming import plain_hash
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.responses import json_response
from ingress.route_rules import make_anew

OPERATION = "image_workflow"
MAX_BODY_BYTES = 64 * 2**20
"""Sixteen photographs in base64."""
MAX_TAGS = 16
CONTROL_IMAGE = "generate.control_image"

Tag = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[\w][\w .:-]{0,49}$")]
Document = dict[str, Any]


class Keeping(BaseModel):
    """What becomes of the pictures."""

    model_config = ConfigDict(extra="forbid")

    response_format: Literal["url", "b64_json"] = "url"
    gallery: bool = True
    """Whether they are put into the gallery, which takes storage."""
    tags: list[Tag] = Field(default=[], max_length=MAX_TAGS)
    """What to find them by, later."""

    @property
    def stores(self) -> bool:
        return self.gallery or self.response_format == "url"


class ImageWorkflowCall(Keeping, ImageWorkflowRequest):
    """POST /v1/images/workflows."""


class ImageWorkflows:
    """Handlers over the request path, the media store and the gallery."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        media: MediaStore,
        gallery: GalleryBook,
        remote: RemoteMedia,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._media = media
        self._exhibition = Exhibition(media, gallery)
        self._remote = remote

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                "/v1/images/workflows",
                self.run,
                "Generate, describe, refine and upscale a batch of pictures",
                ImageWorkflowCall,
                max_body_bytes=MAX_BODY_BYTES,
            )
        ]

    async def run(self, exchange: Exchange) -> Response:
        principal = await self._path.identify(exchange.key, Scope.INFERENCE)
        document = await exchange.document()
        asked = {name: document.pop(name) for name in Keeping.model_fields if name in document}
        keeping = validate(Keeping, asked)
        if keeping.response_format == "url":
            document.setdefault("intermediates", True)
        await self._inline(principal, document)
        call = exchange.call(self._catalog, OPERATION, document)
        assert isinstance(call.request, ImageWorkflowRequest)
        make_anew(call)
        if keeping.stores:
            # Asked before the work, which would be billed and then have nowhere to go.
            await self._media.require_room(principal)
        answer = await self._path.answer(call, exchange.key, principal)
        body: Document = orjson.loads(answer.body)
        if keeping.stores:
            kept = await self._exhibition.keep(
                principal, body, keeping.tags if keeping.gallery else None
            )
            for holder, media in kept:
                holder["url"] = self._media.url(media, origin_of(exchange))
        if keeping.response_format == "url":
            drop_bytes(body)
        return json_response(body)

    async def _inline(self, principal: Principal, document: Document) -> None:
        """Pictures by URL, and the tenant's own media, become bytes.

        Raises InvalidRequest or NotFound naming the field.
        """
        slots = dict(_slots(document))
        await self._remote.inline(slots, *slots)
        for place, value in slots.items():
            if isinstance(value, dict) and list(value) == ["media"]:
                slots[place] = await self._own(principal, str(value["media"]), f"{place}.media")
            elif isinstance(value, dict) and list(value) == ["url"]:
                slots[place] = value["url"]
        if isinstance(document.get("images"), list):
            document["images"] = [v for place, v in slots.items() if place != CONTROL_IMAGE]
        if CONTROL_IMAGE in slots:
            document["generate"] |= {"control_image": slots[CONTROL_IMAGE]}

    async def _own(self, principal: Principal, blob: str, place: str) -> Document:
        """A picture that the tenant has in the media store."""
        try:
            media = await self._media.find(principal.tenant_id, plain_hash(blob))
        except NotFound as error:
            raise NotFound("no such media", place) from error
        if media.bytes > MAX_BYTES:
            raise InvalidRequest(f"has {media.bytes} bytes; the limit is {MAX_BYTES} bytes", place)
        return {"data": await self._media.read(media), "media_type": media.media_type}


def _slots(document: Document) -> Iterator[tuple[str, Any]]:
    """Every picture of a request, by its place; one more than may be, so that it is refused."""
    images, stage = document.get("images"), document.get("generate")
    if isinstance(images, list):
        for index, image in enumerate(images[: MAX_PICTURES + 1]):
            yield f"images.{index}", image
    if isinstance(stage, dict) and "control_image" in stage:
        yield CONTROL_IMAGE, stage["control_image"]
