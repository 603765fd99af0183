"""`/v1/videos`: videos as OpenAI's API has them, and what their jobs can do beside it.

Place in the path: before it. A video is a job (`ingress.video_jobs`): these handlers begin it, tell
of it, and deliver what it made. Older paths are `ingress.video_aliases`.
"""

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.job_news import JobNews
from auth.jobs import Job, JobBook, JobStatus
from auth.media import OwnedMedia
from auth.principal import Principal, Scope
from core.errors import Conflict, NotFound
from core.videos import Prompt, VideoLimits, VideoRequest, described
from ingress.call import CachePolicy
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.files import listing
from ingress.media.delivery import media_response
from ingress.media.origin import origin_of
from ingress.media.store import MediaStore
from ingress.paging import Page, page_of
from ingress.path import RequestPath, Stream
from ingress.queries import VariantQuery
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, json_response
from ingress.video_answers import KIND, events, video_object
from ingress.video_forms import REFERENCE, VideoForms
from ingress.video_jobs import VideoJobs

MAX_BODY_BYTES = 28 * 2**20
"""20 MiB of picture in base64, and the rest of the document."""
POLL_MS = 1000
PRIVATE = {"cache-control": "private, no-cache"}


class RemixRequest(BaseModel):
    """POST /v1/videos/{video_id}/remix."""

    model_config = ConfigDict(extra="forbid")

    prompt: Prompt = Field(min_length=1)


class VideoEndpoints:
    """Handlers over the jobs."""

    def __init__(
        self,
        path: RequestPath,
        book: JobBook,
        news: JobNews,
        media: MediaStore,
        jobs: VideoJobs,
        forms: VideoForms,
    ) -> None:
        self._path = path
        self._book = book
        self._news = news
        self._media = media
        self._jobs = jobs
        self._forms = forms

    def endpoints(self) -> list[Endpoint]:
        one = "/v1/videos/{video_id}"
        return [
            Endpoint(
                "POST",
                "/v1/videos",
                self.create,
                "Begin a video",
                VideoRequest,
                files=(REFERENCE,),
                max_body_bytes=MAX_BODY_BYTES,
            ),
            Endpoint("GET", "/v1/videos", self.list, "This tenant's videos", query=Page),
            Endpoint("GET", "/v1/videos/resolutions", self.resolutions, "What models can draw"),
            Endpoint("GET", one, self.show, "One video's state"),
            Endpoint("DELETE", one, self.delete, "Delete a video that has ended"),
            Endpoint(
                "GET",
                f"{one}/content",
                self.content,
                "The video, or a picture of it",
                query=VariantQuery,
            ),
            Endpoint("GET", f"{one}/events", self.events, "Its progress as it happens (SSE)"),
            Endpoint("POST", f"{one}/cancel", self.cancel, "Stop it"),
            Endpoint("POST", f"{one}/remix", self.remix, "The same, otherwise", RemixRequest),
        ]

    async def create(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        document = await self._forms.document(exchange, principal)
        once = exchange.next_once()
        job = await self._jobs.begin(principal, document, _cache(exchange), once=once)
        return _answer(exchange, job)

    async def remix(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        request = await exchange.parse(RemixRequest)
        source = await self._own(exchange, principal)
        once = exchange.next_once()
        job = await self._jobs.remix(principal, source, request.prompt, _cache(exchange), once)
        return _answer(exchange, job)

    async def list(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        asked = page_of(exchange)
        page = await self._book.page(
            principal.tenant_id, KIND, asked.after, asked.limit, oldest_first=asked.oldest_first
        )
        data = [video_object(job) for job in page.items]
        return json_response(listing(data, has_more=page.has_more))

    async def show(self, exchange: Exchange) -> Response:
        """The video object; when it is completed, with a URL for players that send no key."""
        job = await self._own(exchange, await self._principal(exchange))
        if job.status is not JobStatus.COMPLETED:
            return _answer(exchange, job)
        try:
            url = self._media.url(await self._file(job, "video"), origin_of(exchange))
        except NotFound:
            return json_response(video_object(job) | {"url": None})
        return json_response(video_object(job) | {"url": url})

    async def delete(self, exchange: Exchange) -> Response:
        job = await self._own(exchange, await self._principal(exchange))
        await self._jobs.delete(job)
        return json_response({"id": job.id, "object": "video.deleted", "deleted": True})

    async def content(self, exchange: Exchange) -> Response:
        """The bytes, or a part of them. 409 while there are none yet."""
        exchange.headers["cache-control"] = "no-store"  # of errors
        principal = await self._principal(exchange)
        variant = exchange.query(VariantQuery).variant
        job = await self._own(exchange, principal)
        if not job.status.is_final:
            exchange.headers["x-should-retry"] = "false"
            raise Conflict(f"the video is not ready yet: it is {job.status.value}")
        if job.status is not JobStatus.COMPLETED:
            raise NotFound(f"there is no such content: the video is {job.status.value}")
        media = await self._file(job, variant)
        return await media_response(exchange, self._media, media, PRIVATE)

    async def events(self, exchange: Exchange) -> Response:
        job = await self._own(exchange, await self._principal(exchange))
        return StreamResponse(Stream(events(job, self._book, self._news)), openai_body)

    async def cancel(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        job = await self._jobs.cancel(principal, exchange.http.path_params["video_id"])
        return json_response(video_object(job))

    async def resolutions(self, exchange: Exchange) -> Response:
        principal = await self._principal(exchange)
        data = [
            {"id": model.card.id, "object": "video.model", **described(VideoLimits.of(model.card))}
            for model in self._jobs.models(principal)
        ]
        return json_response({"object": "list", "data": data})

    async def _principal(self, exchange: Exchange) -> Principal:
        return await self._path.authorize(exchange.key, Scope.INFERENCE)

    async def _own(self, exchange: Exchange, principal: Principal) -> Job:
        name = exchange.http.path_params["video_id"]
        return await self._book.find(principal.tenant_id, KIND, name)

    async def _file(self, job: Job, variant: str) -> OwnedMedia:
        """A file of a completed video. Raises NotFound."""
        try:
            return await self._media.find(job.tenant_id, job.result[variant])
        except NotFound as error:
            raise NotFound("the video's content has expired or was deleted") from error


def _cache(exchange: Exchange) -> CachePolicy:
    return CachePolicy.from_header(exchange.http.headers.get("cache-control"))


def _answer(exchange: Exchange, job: Job) -> Response:
    """The video object, and when to ask again."""
    if not job.status.is_final:
        exchange.headers["openai-poll-after-ms"] = str(POLL_MS)
    return json_response(video_object(job))
