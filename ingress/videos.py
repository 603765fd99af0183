"""`/v1/videos`: videos as OpenAI's API has them, and what their jobs can do beside it.

Place in the path: before it. A video is a job (`auth.jobs`): all that can be wrong with a request
is found here, it is written down and handed over, and its call takes the request path later
(`graphs.videos`). No model is woken here.

    POST /api/v1/generate/video    POST /v1/videos
    GET  /resolutions              GET  /v1/videos/resolutions
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Principal, Scope
from core.errors import Conflict, InvalidRequest, LimitReached, NotFound
from core.pictures import MEDIA_TYPES, picture_header
from core.videos import (
    Prompt,
    VideoLimits,
    VideoRequest,
    described,
    shot_of,
    sides,
)
from ingress.accounts import page_of
from ingress.call import CachePolicy
from ingress.catalog import Catalog, ServedModel
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, validate
from ingress.files import listing
from ingress.headroom import Headroom
from ingress.job_kind import JobQueue
from ingress.media.delivery import media_response
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.path import RequestPath, Stream
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, json_response
from ingress.video_answers import KIND, events, video_object
from ingress.video_forms import VideoForms

OPERATION = "animate"
MAX_BODY_BYTES = 28 * 2**20
"""20 MiB of picture in base64, and the rest of the document."""
PATIENCE = timedelta(hours=24)
"""How long a video may wait for windows to open."""
MAX_WAITING = 100
"""Videos of one tenant that have not ended."""
RETRY_S = 10.0
POLL_MS = 1000
SEED_BITS = 31
VARIANTS = ("video", "thumbnail", "spritesheet")
ORDERS = ("asc", "desc")
PRIVATE = {"cache-control": "private, no-cache"}


class RemixRequest(BaseModel):
    """POST /v1/videos/{video_id}/remix."""

    model_config = ConfigDict(extra="forbid")

    prompt: Prompt = Field(min_length=1)


class GenerateVideoRequest(BaseModel):
    """POST /api/v1/generate/video."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    resolution: str | None = None
    duration: float | None = None
    fps: int | None = None
    camera_movement: str | list[str] | None = None
    model: str | None = None
    seed: int | None = None

    def as_video(self) -> dict[str, Any]:
        """The same request in OpenAI's words."""
        fields = self.model_dump(exclude_none=True)
        names = {"resolution": "size", "duration": "seconds", "camera_movement": "camera"}
        return {names.get(name, name): value for name, value in fields.items()}


class VideoEndpoints:
    """Handlers over the jobs."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        book: JobBook,
        queue: JobQueue,
        media: MediaStore,
        forms: VideoForms,
        headroom: Headroom,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._book = book
        self._queue = queue
        self._media = media
        self._forms = forms
        self._headroom = headroom

    def endpoints(self) -> list[Endpoint]:
        one = "/v1/videos/{video_id}"
        older = "/api/v1/generate/video"
        return [
            Endpoint(
                "POST",
                "/v1/videos",
                self.create,
                "Begin a video",
                VideoRequest,
                max_body_bytes=MAX_BODY_BYTES,
            ),
            Endpoint("GET", "/v1/videos", self.list, "This tenant's videos"),
            Endpoint("GET", "/v1/videos/resolutions", self.resolutions, "What models can draw"),
            Endpoint("GET", one, self.show, "One video's state"),
            Endpoint("DELETE", one, self.delete, "Delete a video that has ended"),
            Endpoint("GET", f"{one}/content", self.content, "The video, or a picture of it"),
            Endpoint("GET", f"{one}/events", self.events, "Its progress as it happens (SSE)"),
            Endpoint("POST", f"{one}/cancel", self.cancel, "Stop it"),
            Endpoint("POST", f"{one}/remix", self.remix, "The same, otherwise", RemixRequest),
            Endpoint("POST", older, self.generate, "Alias of /v1/videos", GenerateVideoRequest),
            Endpoint("GET", "/resolutions", self.resolution_names, "Alias"),
        ]

    async def create(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        document = await self._forms.document(exchange, principal)
        return _answer(exchange, await self._begun(exchange, principal, document))

    async def remix(self, exchange: Exchange) -> Response:
        """The same settings, seed and first picture with another prompt."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(RemixRequest)
        source = await self._own(exchange, principal)
        if source.status is not JobStatus.COMPLETED:
            raise Conflict(f"only a completed video can be remixed: this one is {source.status}")
        document = source.request["asked"] | {"model": source.model, "prompt": request.prompt}
        if (blob := source.request["reference"]) is not None:
            document["input_reference"] = await self._bytes(principal, blob)
        return _answer(exchange, await self._begun(exchange, principal, document, source.id))

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        after, limit = page_of(exchange)
        order = exchange.http.query_params.get("order", "desc")
        if order not in ORDERS:
            raise InvalidRequest("'order' must be asc or desc", "order")
        page = await self._book.page(
            principal.tenant_id, KIND, after, limit, oldest_first=order == "asc"
        )
        data = [video_object(job) for job in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        """The video object; when it is completed, with a URL for players that send no key."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        job = await self._own(exchange, principal)
        if job.status is not JobStatus.COMPLETED:
            return _answer(exchange, job)
        url = await self._url(exchange, principal, job)
        return json_response(video_object(job) | {"url": url})

    async def delete(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        job = await self._own(exchange, principal)
        await self._book.delete(principal.tenant_id, KIND, job.id)
        for blob in {*job.request["blobs"], *job.result.get("blobs", ())}:
            await self._forget(principal.tenant_id, blob)
        return json_response({"id": job.id, "object": "video.deleted", "deleted": True})

    async def content(self, exchange: Exchange) -> Response:
        """The bytes, or a part of them. 409 while there are none yet."""
        exchange.headers["cache-control"] = "no-store"  # of errors
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        variant = exchange.http.query_params.get("variant", VARIANTS[0])
        if variant not in VARIANTS:
            raise InvalidRequest(f"'variant' must be one of {', '.join(VARIANTS)}", "variant")
        job = await self._own(exchange, principal)
        if not job.status.is_final:
            exchange.headers["x-should-retry"] = "false"
            raise Conflict(f"the video is not ready yet: it is {job.status.value}")
        if job.status is not JobStatus.COMPLETED:
            raise NotFound(f"there is no such content: the video is {job.status.value}")
        try:
            media = await self._media.find(principal.tenant_id, job.result[variant])
        except NotFound as error:
            raise NotFound("the video's content has expired or was deleted") from error
        return await media_response(exchange, self._media, media, PRIVATE)

    async def events(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        job = await self._own(exchange, principal)
        return StreamResponse(Stream(events(job, self._book)), openai_body)

    async def cancel(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        name = exchange.http.path_params["video_id"]
        job = await self._book.cancel(principal.tenant_id, KIND, name)
        await self._queue.cancel(job)
        return json_response(video_object(job))

    async def resolutions(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        data = [
            {"id": model.card.id, "object": "video.model", **described(VideoLimits.of(model.card))}
            for model in self._models(principal)
        ]
        return json_response({"object": "list", "data": data})

    async def resolution_names(self, exchange: Exchange) -> Response:
        """Of the first model, as the older service told them."""
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        for model in self._models(principal):
            told = described(VideoLimits.of(model.card))
            resolutions = [
                {"name": size, "width": sides(size)[0], "height": sides(size)[1]}
                for size in told["sizes"]
            ]
            names = {"fps": told["fps"], "camera_movements": told["camera"]}
            return json_response({"resolutions": resolutions, **names})
        raise NotFound("no model here draws videos")

    async def generate(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        request = await exchange.parse(GenerateVideoRequest)
        video = video_object(await self._begun(exchange, principal, request.as_video()))
        return json_response(
            {
                "success": True,
                "video_id": video["id"],
                "status": video["status"],
                "status_url": f"/v1/videos/{video['id']}",
                "video_url": f"/v1/videos/{video['id']}/content",
                "resolution": video["size"],
                "duration": float(video["seconds"]),
                "fps": video["fps"],
                "model": video["model"],
                "prompt": video["prompt"],
            }
        )

    async def _begun(
        self,
        exchange: Exchange,
        principal: Principal,
        document: dict[str, Any],
        source: str | None = None,
    ) -> Job:
        """A video's job, written down and handed over; refused if it could never be made."""
        request = validate(VideoRequest, document)
        model = self._catalog.find(request.model, OPERATION)
        model.operation(OPERATION)
        principal.require_model(model.card.id)
        shot = shot_of(request, VideoLimits.of(model.card))
        await self._media.require_room(principal)
        await self._headroom.require(principal, model.card.id, shot.units)
        await self._require_places(principal)
        reference = await self._kept(principal, request)
        cache = CachePolicy.from_header(exchange.http.headers.get("cache-control"))
        job = await self._book.add(
            principal,
            KIND,
            "video_",
            {
                "asked": _asked(request),
                "shot": shot._asdict(),
                "reference": reference,
                "blobs": [] if reference is None else [reference],
                "remixed_from": source,
                "cache": [cache.read, cache.write],
            },
            model.card.id,
            expires_at=datetime.now(UTC) + PATIENCE,
        )
        await self._queue.enqueue(job)
        return job

    async def _require_places(self, principal: Principal) -> None:
        """Raises LimitReached when too many of a tenant's videos wait already."""
        if await self._book.unfinished(principal.tenant_id, KIND) >= MAX_WAITING:
            raise LimitReached(f"{MAX_WAITING} videos are under way already", None, RETRY_S)

    async def _kept(self, principal: Principal, request: VideoRequest) -> str | None:
        """The first picture in the tenant's media, until the job comes for it."""
        if request.input_reference is None:
            return None
        media_type = MEDIA_TYPES[picture_header(request.input_reference).format]
        media = await self._media.put(
            principal.tenant_id, principal.plan, request.input_reference, media_type
        )
        return media.hash

    async def _url(self, exchange: Exchange, principal: Principal, job: Job) -> str | None:
        """Signed for a while; None when the content has expired."""
        try:
            media = await self._media.find(principal.tenant_id, job.result["video"])
        except NotFound:
            return None
        return self._media.url(media, origin_of(exchange))

    async def _bytes(self, principal: Principal, blob: str) -> bytes:
        try:
            media = await self._media.find(principal.tenant_id, blob)
        except NotFound as error:
            raise NotFound("the picture that the video began with has expired") from error
        return b"".join([part async for part in self._media.pieces(media, 0, media.bytes)])

    async def _forget(self, tenant_id: str, blob: str) -> None:
        """Delete media, unless another job of the tenant names the same bytes."""
        if await self._book.mentions(tenant_id, blob):
            return
        try:
            await self._media.delete(tenant_id, blob)
        except NotFound:
            return  # expired

    async def _own(self, exchange: Exchange, principal: Principal) -> Job:
        name = exchange.http.path_params["video_id"]
        return await self._book.find(principal.tenant_id, KIND, name)

    def _models(self, principal: Principal) -> Sequence[ServedModel]:
        allowed = principal.allowed_models
        return [
            model
            for model in self._catalog
            if OPERATION in model.spec.operations and (allowed is None or model.card.id in allowed)
        ]


def _asked(request: VideoRequest) -> dict[str, Any]:
    """What the model is asked when the time comes. A seed is chosen now: a job that runs again
    makes the same video.
    """
    asked = request.model_dump(
        mode="json", exclude={"model", "input_reference"}, exclude_unset=True
    )
    if asked.get("seed") is None:
        asked["seed"] = secrets.randbits(SEED_BITS)
    return asked


def _answer(exchange: Exchange, job: Job) -> Response:
    """The video object, and when to ask again."""
    if not job.status.is_final:
        exchange.headers["openai-poll-after-ms"] = str(POLL_MS)
    return json_response(video_object(job))
