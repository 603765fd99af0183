"""Understanding a video request: what to draw, how, and what is delivered.

Place in the path: step 4, before anything is drawn. All that can be wrong with a request, or asks
for what the model lacks, is found here. It draws nothing.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from core.errors import InvalidRequest
from core.model import CallContext
from core.videos import MAX_STEPS, AnimationRequest, Shot, VideoLimits, shot_of, sides
from core.work import NO_WORK, WorkUnits
from deployments.pictures import as_rgb, open_picture
from deployments.video_camera import in_words
from deployments.video_pipelines import Task, VideoLoadSettings, VideoPipelines

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SEED_BITS = 31


class VideoSettings(VideoLoadSettings):
    """`engine` settings of a video model."""

    name: str
    """Name that answers carry."""
    limits: VideoLimits
    """As on the model's card."""
    drawn_size: str | None = None
    """`WIDTHxHEIGHT` whose area is drawn at most; larger sizes are enlarged. None draws all."""
    drawn_frames: tuple[int, ...] = ()
    """Lengths that are drawn, of which the shortest that suffices is cut; all when not given."""
    steps: int = Field(30, ge=1, le=MAX_STEPS)
    """Denoising steps when a request names none."""
    guidance: float = Field(5.0, ge=0, le=30)
    negative_prompt: str = ""
    """Used when a request names none."""
    max_batch: int = Field(1, ge=1)
    """Videos drawn at once: one fills most engines, tiny ones gain."""
    batch_wait_ms: float = Field(5.0, ge=0)


class Kind(NamedTuple):
    """What videos must agree in to be drawn together."""

    task: Task
    size: tuple[int, int]
    """Drawn (width, height)."""
    frames: int
    """Drawn."""
    fps: int
    steps: int
    guidance: float
    alone: str = ""
    """Keeps videos that begin with a picture to themselves: pipelines take one picture."""


@dataclass(eq=False)
class Job:
    """One video to draw."""

    prompt: str
    negative: str
    seed: int
    call: CallContext
    whole: WorkUnits
    """What all of it costs as it is drawn."""
    picture: "Picture | None" = None
    on_step: Callable[[int, int], None] | None = None
    """Told in the worker thread: steps done, steps in all."""
    drawn: WorkUnits = field(default=NO_WORK)
    """What it cost so far."""

    def count(self, done: int, steps: int) -> None:
        """After a step: kept current, so that a call that is cut short is billed to here."""
        self.drawn = WorkUnits(video_pixel_ms=self.whole.video_pixel_ms * done // steps)
        self.call.done = self.drawn


class Take(NamedTuple):
    """A request, understood."""

    kind: Kind
    job: Job
    shot: Shot


class Takes:
    """Requests of one model, understood."""

    def __init__(self, settings: VideoSettings, pipelines: VideoPipelines) -> None:
        self._settings = settings
        self._pipelines = pipelines

    def understood(self, request: AnimationRequest, call: CallContext) -> Take:
        """Decodes the picture: not for the event loop. Raises InvalidRequest naming the field."""
        shot = shot_of(request, self._settings.limits)
        kind = self._kind(request, shot, call)
        if request.negative_prompt and not self._pipelines.takes(kind.task, "negative_prompt"):
            raise InvalidRequest("this model takes no negative prompt", "negative_prompt")
        job = Job(
            prompt=self._prompt(request),
            negative=request.negative_prompt or self._settings.negative_prompt,
            seed=secrets.randbits(SEED_BITS) if request.seed is None else request.seed,
            call=call,
            whole=_drawn(shot, kind.size).units,
            picture=_first_frame(request, kind.size),
        )
        return Take(kind, job, shot)

    def _kind(self, request: AnimationRequest, shot: Shot, call: CallContext) -> Kind:
        task: Task = "text" if request.input_reference is None else "image"
        self._pipelines.get(task)
        return Kind(
            task,
            self._drawn_size(shot),
            self._drawn_frames(shot.frames),
            shot.fps,
            request.steps or self._settings.steps,
            self._settings.guidance if request.guidance is None else request.guidance,
            alone=call.request_id if task == "image" else "",
        )

    def _drawn_frames(self, wanted: int) -> int:
        """A number of frames that the model can draw, or that it was trained to."""
        enough = (frames for frames in self._settings.drawn_frames if frames >= wanted)
        return self._pipelines.drawn_frames(min(enough, default=wanted))

    def _prompt(self, request: AnimationRequest) -> str:
        if self._settings.limits.camera != "prompt" or not request.camera:
            return request.prompt
        return f"{request.prompt}, {in_words(request.camera)}"

    def _drawn_size(self, shot: Shot) -> tuple[int, int]:
        """The size to draw in: the same proportions, within what the model can, on its grid."""
        grid, asked = self._pipelines.grid, (shot.width, shot.height)
        most = self._settings.drawn_size or shot.size
        scale = min(1.0, math.sqrt(math.prod(sides(most)) / math.prod(asked)))
        width, height = (
            grid * max(1, min(round(side * scale / grid), side // grid)) for side in asked
        )
        return width, height


def _drawn(shot: Shot, size: tuple[int, int]) -> Shot:
    """The shot in the size that is drawn: what is counted."""
    width, height = (min(pair) for pair in zip(size, (shot.width, shot.height), strict=True))
    return shot._replace(width=width, height=height)


def _first_frame(request: AnimationRequest, size: tuple[int, int]) -> "Picture | None":
    """The caller's picture, cut to the proportions of the video around its middle."""
    if request.input_reference is None:
        return None
    from PIL import ImageOps

    return ImageOps.fit(as_rgb(open_picture(request.input_reference, "input_reference")), size)
