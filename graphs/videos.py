"""Videos: each drawn as if its request had come over HTTP, while nobody waits.

Place in the path: a kind of job (`ingress.job_kind`) of one piece. The call takes the request path:
admitted, cached, settled and in the ledger for itself. What the model says of its progress goes to
the job's row, what it made to the media store. A call that is lost with a process is free, and made
again; one that its tenant cancelled costs what was drawn.
"""

import asyncio
import base64
import uuid
from collections.abc import Coroutine
from functools import partial
from typing import Any

from auth.admission import Admission, Settlement
from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Principal, Scope
from core.errors import (
    CarillonError,
    LimitReached,
    ModelUnavailable,
    NotFound,
    Unavailable,
)
from core.model import Reply
from core.work import NO_WORK, WorkUnits
from graphs.patience import Patience, patiently
from graphs.video_events import Event, Progress, completed, events_of
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog
from ingress.exchange import call_of
from ingress.job_kind import Outcome
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.settling import CLIENT_CLOSED

LONGEST_ABSENCE_S = 120.0
"""Of a model that is being replaced, before it is called all the same."""
MOST_LOST = 3
"""Drawings that a model may be killed in, before the video is taken for what kills it."""
VARIANTS = {"video": "video/mp4", "thumbnail": "image/webp", "spritesheet": "image/jpeg"}
FACTS = ("seed", "frames")


class Videos:
    """Runs video jobs."""

    name = "video"
    in_one = True

    def __init__(
        self,
        path: RequestPath,
        book: JobBook,
        media: MediaStore,
        admission: Admission,
        readiness: Readiness,
    ) -> None:
        self.catalog = Catalog([])
        self._readiness = readiness
        self._path = path
        self._book = book
        self._media = media
        self._admission = admission
        self._background: set[asyncio.Task[None]] = set()

    async def plan(self, job: Job) -> int:
        """A video is one piece: a model cannot go on with a part of one."""
        return 1

    async def piece(self, job: Job, index: int) -> Outcome:
        """Draw it, and put it away."""
        kept = await self._taken_over(job)
        if kept is None:
            principal = await self._path.identify(job.caller, Scope.INFERENCE)
            await self._media.require_room(principal)
            await self._free_what_died(job)
            kept = await self._drawn(job, principal)
        await self._drop_if_ended(job, kept)
        return kept

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """What the piece said."""
        return outcomes[0]

    async def ended(self, job: Job) -> None:
        """Nobody is told: callers look."""

    async def _drawn(self, job: Job, principal: Principal) -> Outcome:
        """What was made, at the first attempt that comes to its end."""
        patience = Patience(job)
        while True:
            try:
                return await self._attempt(job, principal)
            except (LimitReached, Unavailable) as error:
                await patience.after(error)
                job = await self._book.read(job.id)

    async def _attempt(self, job: Job, principal: Principal) -> Outcome:
        """One call, to its end. Its id is written down first: it may be the last that is heard.
        What it made is put away before it is charged, so that nothing is drawn, or charged, twice.
        """
        call = await self._call(job)
        kept: Outcome = {}

        async def keep(reply: Reply) -> None:
            kept.update(await self._keep(job, principal, completed(reply.body)))
            made = {"attempt": call.request_id, "units": reply.units.nonzero(), "outcome": kept}
            await patiently(job, lambda: self._book.advance(job, 0, {"made": made}))

        call.keep = keep
        await self._until_there(call.model.card.application_name)
        await self._book.advance(job, 0, {"attempt": call.request_id})
        progress = Progress(self._book, job)
        made: Event | None = None
        try:
            stream = await self._path.stream(call, job.caller, principal)
            # To its end: then the call is settled.
            async for event in events_of(stream.pieces):
                made = event if event["type"] == "video.completed" else made
                await progress.hear(event)
        except asyncio.CancelledError:
            self._later(self._settle_cut_short(job, call, progress.units, kept))
            raise
        except Unavailable as error:
            if progress.begun:
                await self._count_lost(job, error)
            raise
        if not kept and made is not None:  # from the cache, where it was charged before
            return await self._keep(job, principal, made)
        if not kept:
            raise ModelUnavailable("the model ended without a video")
        return kept

    async def _until_there(self, application: str) -> None:
        """A model that is being replaced is waited for: calls that cannot arrive would fill the
        ledger. One that sleeps is woken by the call.
        """
        state = self._readiness.of(application)
        if state is not None and not state.callable:
            await self._readiness.until_callable(application, LONGEST_ABSENCE_S)

    async def _call(self, job: Job) -> Call:
        document = job.request["asked"] | {"model": job.model, "stream": True}
        if job.request["reference"] is not None:
            media = await self._media.find(job.tenant_id, job.request["reference"])
            document["input_reference"] = await self._media.read(media)
        return call_of(
            self.catalog,
            "animate",
            document,
            request_id=uuid.uuid4().hex,
            trace_id=job.id,
            endpoint="/v1/videos",
            cache=CachePolicy(*job.request["cache"]),
            durable=True,
            whole_or_nothing=True,
        )

    async def _keep(self, job: Job, principal: Principal, made: Event) -> Outcome:
        """The files into the tenant's media, as soon as the store lets; the row keeps their names.

        Raises StorageFull, StoreUnavailable.
        """
        files = [(base64.b64decode(made[name]), kind) for name, kind in VARIANTS.items()]
        media = await patiently(job, partial(self._media.put_all, principal, files))
        kept = dict(zip(VARIANTS, media, strict=True))
        ends = kept["video"].expires_at
        return {
            **{variant: media.hash for variant, media in kept.items()},
            **{name: made[name] for name in FACTS},
            "blobs": [media.hash for media in kept.values()],
            "expires_at": None if ends is None else int(ends.timestamp()),
        }

    async def _drop_if_ended(self, job: Job, kept: Outcome) -> None:
        """Cancelled at the last moment, a video leaves nothing behind."""
        try:
            if not (await self._book.read(job.id)).status.is_final:
                return
        except NotFound:
            pass
        for blob in kept["blobs"]:
            if not await self._book.mentions(job.tenant_id, blob):
                await self._media.discard(job.tenant_id, blob)

    async def _taken_over(self, job: Job) -> Outcome | None:
        """What a process made and put away that died, or lost a store, before it could say so. It
        is charged now, unless it was.
        """
        made = job.result.get("made")
        if made is None or made["attempt"] != job.result.get("attempt"):
            return None
        await self._admission.settle(_charge(made))
        outcome: Outcome = made["outcome"]
        return outcome

    async def _free_what_died(self, job: Job) -> None:
        """End the call that a killed process left behind; nothing happens if it had ended."""
        if (attempt := job.result.get("attempt")) is not None:
            lost = ModelUnavailable("the process that made this call was killed")
            await self._admission.settle(
                Settlement(
                    attempt,
                    status_code=lost.status_code,
                    error_code=lost.code,
                    error_message=lost.message,
                )
            )

    async def _settle_cut_short(
        self, job: Job, call: Call, units: WorkUnits, kept: Outcome
    ) -> None:
        """Cancelled by its tenant, a video costs what was drawn; by us, nothing, unless it is
        there: whoever takes the job over has it.
        """
        try:
            job = await self._book.read(job.id)
            cancelled = job.status is JobStatus.CANCELLED
        except NotFound:
            cancelled = True
        made = job.result.get("made")
        if not cancelled and made is not None and made["attempt"] == call.request_id:
            await self._admission.settle(_charge(made))
            return
        await self._admission.settle(
            Settlement(
                call.request_id,
                units if cancelled else NO_WORK,
                CLIENT_CLOSED if cancelled else ModelUnavailable.status_code,
                "cancelled" if cancelled else ModelUnavailable.code,
                response_time_ms=call.elapsed_ms(),
                exact=not cancelled,
            )
        )
        if cancelled and kept:
            await self._drop_if_ended(job, kept)

    async def _count_lost(self, job: Job, error: Unavailable) -> None:
        lost = job.result.get("lost", 0) + 1
        await self._book.advance(job, 0, {"lost": lost})
        if lost >= MOST_LOST:
            raise CarillonError(f"{error.message}, {lost} times: it is not tried again") from error

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _charge(made: dict[str, Any]) -> Settlement:
    """Of a call whose video is there."""
    return Settlement(made["attempt"], WorkUnits(**made["units"]))
