"""Video jobs: begun, if they can be made at all, and forgotten with all that they stored.

Place in the path: before it, under the routes. All that can be wrong with a request is found here,
before it is written down and handed over; the job's call takes the request path later
(`graphs.videos`). No model is woken here.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Principal
from core.errors import Conflict, LimitReached, NotFound
from core.pictures import MEDIA_TYPES, picture_header
from core.videos import VideoLimits, VideoRequest, shot_of
from ingress.call import CachePolicy
from ingress.catalog import Catalog, ServedModel
from ingress.exchange import validate
from ingress.headroom import Headroom
from ingress.media.store import MediaStore
from ingress.video_answers import KIND

OPERATION = "animate"
PATIENCE = timedelta(hours=24)
"""How long a video may wait for windows to open."""
MAX_WAITING = 100
"""Videos of one tenant that have not ended."""
RETRY_S = 10.0
SEED_BITS = 31


class VideoJobs:
    """Those of all tenants."""

    def __init__(
        self,
        catalog: Catalog,
        book: JobBook,
        media: MediaStore,
        headroom: Headroom,
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._media = media
        self._headroom = headroom

    async def begin(
        self,
        principal: Principal,
        document: dict[str, Any],
        cache: CachePolicy,
        source: str | None = None,
        once: str | None = None,
    ) -> Job:
        """A new job, handed over.

        Args:
            source: id of the video that it is a remix of.
            once: names it: the same is begun once (`JobBook.add`).

        Raises:
            InvalidRequest, UnknownParameter, ModelNotFound, ModelForbidden, StorageFull,
            LimitReached: it could never be made, or not before something ends.
        """
        request = validate(VideoRequest, document)
        model = self._catalog.find(request.model, OPERATION)
        model.operation(OPERATION)
        principal.require_model(model.card.id)
        shot = shot_of(request, VideoLimits.of(model.card))
        await self._media.require_room(principal)
        await self._headroom.require(principal, model.card.id, shot.units)
        await self._require_places(principal)
        reference = await self._kept(principal, request)
        written = {
            "asked": _asked(request),
            "shot": shot._asdict(),
            "reference": reference,
            "blobs": [] if reference is None else [reference],
            "remixed_from": source,
            "cache": [cache.read, cache.write],
        }
        ends = datetime.now(UTC) + PATIENCE
        return await self._book.add(
            principal, KIND, "video_", written, model.card.id, expires_at=ends, once=once
        )

    async def remix(
        self,
        principal: Principal,
        source: Job,
        prompt: str,
        cache: CachePolicy,
        once: str | None = None,
    ) -> Job:
        """The same settings, seed and first picture with another prompt."""
        if source.status is not JobStatus.COMPLETED:
            state = source.status.value
            raise Conflict(f"only a completed video can be remixed: this one is {state}")
        document = source.request["asked"] | {"model": source.model, "prompt": prompt}
        if (blob := source.request["reference"]) is not None:
            try:
                media = await self._media.find(principal.tenant_id, blob)
            except NotFound as error:
                raise NotFound("the picture that the video began with has expired") from error
            document["input_reference"] = await self._media.read(media)
        return await self.begin(principal, document, cache, source.id, once)

    async def cancel(self, principal: Principal, video_id: str) -> Job:
        """Stop it where it is. Raises NotFound, Conflict for one that ended."""
        return await self._book.cancel(principal.tenant_id, KIND, video_id)

    async def delete(self, job: Job) -> None:
        """Forget it, its files and its first picture. Raises Conflict for one that runs."""
        await self._book.delete(job.tenant_id, KIND, job.id)
        for blob in {*job.request["blobs"], *job.result.get("blobs", ())}:
            await self._forget(job.tenant_id, blob)

    def models(self, principal: Principal) -> Sequence[ServedModel]:
        """Models that draw videos, as far as `principal` may use them."""
        allowed = principal.allowed_models
        return [
            model
            for model in self._catalog
            if OPERATION in model.spec.operations and (allowed is None or model.card.id in allowed)
        ]

    async def _require_places(self, principal: Principal) -> None:
        if await self._book.unfinished(principal.tenant_id, KIND) >= MAX_WAITING:
            raise LimitReached(f"{MAX_WAITING} videos are under way already", None, RETRY_S)

    async def _kept(self, principal: Principal, request: VideoRequest) -> str | None:
        """The first picture in the tenant's media, until the job comes for it."""
        if request.input_reference is None:
            return None
        media_type = MEDIA_TYPES[picture_header(request.input_reference).format]
        media = await self._media.put(principal, request.input_reference, media_type)
        return media.hash

    async def _forget(self, tenant_id: str, blob: str) -> None:
        """Delete media, unless another job of the tenant names the same bytes."""
        if await self._book.mentions(tenant_id, blob):
            return
        try:
            await self._media.delete(tenant_id, blob)
        except NotFound:
            return  # expired


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
