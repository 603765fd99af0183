"""Video jobs on the wire: OpenAI's video object, and the events that tell of one.

Place in the path: end of an exchange about a job. It reads rows and changes nothing.
"""

import time
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from auth.job_news import JobNews
from auth.jobs import Job, JobBook, JobStatus
from core.errors import StoreUnavailable
from ingress.accounts import timestamp

KIND = "video"
STATUSES = {JobStatus.CANCELLED: "failed"}
"""OpenAI's clients know no cancelled video: to them it failed, and its error says why."""
CANCELLED = {"code": "cancelled", "message": "the video was cancelled"}
SETTINGS = ("camera", "negative_prompt", "steps", "guidance", "codec")
LOOK_S = 0.5
"""Between looks at a video that no news come of."""
KEEP_ALIVE_S = 15.0
WAITING = b": waiting\n\n"


def video_object(job: Job) -> dict[str, Any]:
    """OpenAI's video object, and how the video was asked for."""
    asked, shot = job.request["asked"], job.request["shot"]
    completed = job.status is JobStatus.COMPLETED
    return {
        "id": job.id,
        "object": KIND,
        "model": job.model,
        "status": STATUSES.get(job.status, job.status.value),
        "progress": int(job.progress * 100),
        "created_at": timestamp(job.created_at),
        "completed_at": timestamp(job.ended_at) if completed else None,
        "expires_at": job.result.get("expires_at") if completed else None,
        "error": _error(job),
        "prompt": asked["prompt"],
        "seconds": f"{shot['frames'] / shot['fps']:g}",
        "size": f"{shot['width']}x{shot['height']}",
        "remixed_from_video_id": job.request.get("remixed_from"),
        "fps": shot["fps"],
        "seed": asked["seed"],
        **{name: asked[name] for name in SETTINGS if name in asked},
    }


async def events(job: Job, book: JobBook, news: JobNews) -> AsyncGenerator[bytes, None]:
    """What happens to a video, until its end. It reads the job's row, so that any gateway can tell,
    and a caller that comes back misses nothing.
    """
    told, at = "", 0.0
    with news.of(job.id) as watch:
        while True:
            state = f"{job.status.value} {int(job.progress * 100)}"
            if state != told:
                told, at = state, time.monotonic()
                yield _event(job)
            elif time.monotonic() - at >= KEEP_ALIVE_S:
                at = time.monotonic()
                yield WAITING
            if job.status.is_final:
                return
            await watch.change(LOOK_S)
            try:
                job = await book.find(job.tenant_id, KIND, job.id)
            except StoreUnavailable:
                yield WAITING


def _event(job: Job) -> bytes:
    video = video_object(job)
    name = f"video.{video['status']}"
    return f"event: {name}\ndata: ".encode() + orjson.dumps({"type": name, KIND: video}) + b"\n\n"


def _error(job: Job) -> dict[str, Any] | None:
    if job.status is JobStatus.CANCELLED:
        return CANCELLED
    if job.error_code is None:
        return None
    return {"code": job.error_code, "message": job.error_message}
