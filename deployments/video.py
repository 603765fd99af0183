"""Video: diffusion models that draw moving pictures, from words and from a first frame.

Place in the path: step 4. Each request is one item of the batch queue; videos that agree in size,
length, steps and guidance may be drawn together, each from its own seed. Drawn frames are enlarged,
filmed with the camera moves that were asked for, and encoded. It does not keep videos: answers
carry them, and jobs (`graphs.videos`) put them away.
"""

import asyncio
import base64
import math
import time
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from core.model import CallContext, Chunk, ModelSpec, Operation, Reply
from core.videos import AnimationRequest, VideoLimits, estimate_video
from deployments.batcher import Batch, Batcher
from deployments.device_time import DeviceTime
from deployments.video_camera import filmed
from deployments.video_files import enlarged, mp4, spritesheet, thumbnail
from deployments.video_pipelines import VideoPipelines
from deployments.video_takes import Job, Kind, Take, Takes, VideoSettings

if TYPE_CHECKING:
    import numpy as np

    Frames = np.ndarray[Any, Any]

QUIET_S = 15.0
"""How often a stream that waits in the queue shows that it is alive."""
WAITING = b": waiting\n\n"
TOLD_EVERY_S = 0.25
"""Between words on progress: each takes a millisecond or two from the steps that follow."""


class Video:
    """One video model."""

    def __init__(self, settings: VideoSettings) -> None:
        self.settings = settings
        self.pipelines = VideoPipelines(settings)
        self.takes = Takes(settings, self.pipelines)
        self.device = DeviceTime()
        self.batcher: Batcher[Kind, Job, Frames] = Batcher(
            self._draw, settings.max_batch, settings.batch_wait_ms / 1000
        )

    async def animate(self, request: AnimationRequest, call: CallContext) -> Reply:
        """A video, and pictures of it, in base64."""
        take = await asyncio.to_thread(self.takes.understood, request, call)
        body = await self._made(request, take)
        return Reply(orjson.dumps(body), call.done)

    async def animate_stream(
        self, request: AnimationRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same as `video.completed`, after a `video.progress` for the first step, the last, and
        between them as often as is worth saying.

        Progress delivers nothing, so it says that there is nothing to bill: when this replica dies
        its caller owes nothing. Who goes away owes what was drawn.
        """
        take = await asyncio.to_thread(self.takes.understood, request, call)
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        told_at = -math.inf

        def tell(done: int, steps: int) -> None:
            nonlocal told_at
            if done < steps and time.monotonic() < told_at + TOLD_EVERY_S:
                return
            told_at = time.monotonic()
            event = {"type": "video.progress", "step": done, "steps": steps}
            event |= {"usage": take.job.drawn.nonzero()}
            loop.call_soon_threadsafe(events.put_nowait, event)

        take.job.on_step = tell
        making = asyncio.ensure_future(self._made(request, take))
        making.add_done_callback(lambda _: events.put_nowait(None))
        try:
            yield Chunk(_sse({"type": "video.queued"}))
            async for piece in _pieces(events):
                yield Chunk(piece)
            done = {"type": "video.completed"} | making.result()
            yield Chunk(_sse(done), take.job.drawn)
        finally:
            making.cancel()
            call.done = take.job.drawn

    async def _made(self, request: AnimationRequest, take: Take) -> dict[str, Any]:
        frames = await self.batcher.submit(take.kind, take.job, take.job.call.request_id)
        return await asyncio.to_thread(self._finished, request, take, frames)

    def _finished(self, request: AnimationRequest, take: Take, drawn: "Frames") -> dict[str, Any]:
        """The answer: what was drawn, as it was asked for."""
        shot = take.shot
        frames = enlarged(drawn[: shot.frames], (shot.width, shot.height))
        if request.camera and self.settings.limits.camera == "frames":
            frames = filmed(frames, request.camera, request.camera_strength)
        return {
            "created": int(time.time()),
            "model": self.settings.name,
            "size": shot.size,
            "seconds": shot.seconds,
            "fps": shot.fps,
            "frames": len(frames),
            "seed": take.job.seed,
            "codec": request.codec,
            "video": _base64(mp4(frames, shot.fps, request.codec)),
            "thumbnail": _base64(thumbnail(frames)),
            "spritesheet": _base64(spritesheet(frames)),
            "usage": take.job.drawn.nonzero(),
        }

    def _draw(self, batch: "Batch[Kind, Job, Frames]") -> "Sequence[Frames]":
        """One run of the pipeline. In the worker thread."""
        batch.checkpoint()
        with self.device.busy(*(job.call for job in batch.jobs)):
            return self._drawn(batch)

    def _drawn(self, batch: "Batch[Kind, Job, Frames]") -> "Sequence[Frames]":
        kind, jobs = batch.kind, batch.jobs
        done = 0

        def after_step(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            done += 1
            self.device.tick()
            for index, job in enumerate(jobs):
                if batch.waits(index):
                    job.count(done, kind.steps)
                    if job.on_step is not None:
                        job.on_step(done, kind.steps)
            batch.checkpoint()
            return tensors

        arguments = self._arguments(kind, jobs) | {"callback_on_step_end": after_step}
        with self.pipelines.torch.inference_mode():
            frames = self.pipelines.get(kind.task)(**arguments).frames
        return [(each * 255).round().astype("uint8") for each in frames]

    def _arguments(self, kind: Kind, jobs: list[Job]) -> dict[str, Any]:
        """The pipeline's arguments; those that a kind of model lacks are left out."""
        width, height = kind.size
        manual = [self.pipelines.torch.Generator("cpu").manual_seed(job.seed) for job in jobs]
        arguments: dict[str, Any] = {
            "prompt": [job.prompt for job in jobs],
            "negative_prompt": [job.negative for job in jobs],
            "width": width,
            "height": height,
            "num_frames": kind.frames,
            "frame_rate": kind.fps,
            "num_inference_steps": kind.steps,
            "guidance_scale": kind.guidance,
            "generator": manual,
            "max_sequence_length": self.pipelines.prompt_tokens(kind.task),
            "output_type": "np",
        }
        if kind.task == "image":
            arguments["image"] = jobs[0].picture
        accepted = [name for name in arguments if self.pipelines.takes(kind.task, name)]
        return {name: arguments[name] for name in accepted}


async def _pieces(
    events: "asyncio.Queue[dict[str, Any] | None]",
) -> AsyncGenerator[bytes, None]:
    """Events on the wire as they come, until None; a comment where none comes for long."""
    while True:
        try:
            async with asyncio.timeout(QUIET_S):
                event = await events.get()
        except TimeoutError:
            yield WAITING
            continue
        if event is None:
            return
        yield _sse(event)


def _sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SPEC = ModelSpec(
    family="video",
    model=Video,
    settings=VideoSettings,
    operations={
        "animate": Operation(
            method="animate",
            stream_method="animate_stream",
            request=AnimationRequest,
            estimate=estimate_video,
            makes_media=True,
        )
    },
    limits=VideoLimits,
    options={"max_ongoing_requests": 16, "max_queued_requests": 64},
)
