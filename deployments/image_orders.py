"""Understanding an image request: what to draw, how, and in which size.

Place in the path: step 4, before anything is drawn. All that can be wrong with a request, or asks
for what the model lacks, is found here. It draws nothing.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from core.errors import InvalidRequest
from core.images import (
    AUTO_SIDE,
    MIN_SIDE,
    MOST_DEFAULT_STEPS,
    Drawing,
    ImageEditRequest,
    ImageVariationRequest,
    Prompted,
    steps_of,
)
from core.model import CallContext
from deployments.image_pipelines import LoadSettings, Pipelines, Task
from deployments.image_uploads import Original, control_of, original_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FIDELITY = {"high": 0.7, "low": 1.0, None: 1.0}
"""Share of the usual strength when a caller asks to keep more of its picture."""
SEED_BITS = 31
LEAST_CELLS = 4
"""Shortest side of a drawn picture, in steps of the model's grid."""


class ImageSettings(LoadSettings):
    """`engine` settings of an image model."""

    name: str
    """Name that answers carry."""
    steps: int = Field(20, ge=1, le=MOST_DEFAULT_STEPS)
    """Denoising steps of medium quality."""
    guidance: float = Field(7.0, ge=0, le=30)
    guidance_rescale: float = Field(0.0, ge=0, le=1)
    """Keeps contrast natural under strong guidance, for models that have it (arXiv 2305.08891)."""
    strength: float = Field(0.75, gt=0, le=1)
    """How much an edit without a mask changes, when the request does not say."""
    variation_strength: float = Field(0.6, gt=0, le=1)
    side: int | None = Field(None, ge=MIN_SIDE)
    """Side in pixels of the square picture that `size: auto` draws; None is the model's own."""
    oversize: float = Field(2.0, ge=1)
    """Most that the longer side of a drawn picture exceeds the model's own. Its area never does."""
    max_batch: int = Field(4, ge=1)
    """Pictures drawn at once."""
    batch_wait_ms: float = Field(5.0, ge=0)


class Kind(NamedTuple):
    """What pictures must agree in to be drawn together."""

    task: Task
    size: tuple[int, int]
    """Drawn (width, height)."""
    steps: int
    guidance: float
    strength: float
    lora: str | None
    lora_scale: float
    controlnet: str | None
    control_scale: float


@dataclass(frozen=True)
class Job:
    """One picture to draw."""

    prompt: str
    negative: str
    seed: int
    call: CallContext
    original: Original | None = None
    control: "Picture | None" = None
    previews: frozenset[int] = frozenset()
    """Steps after which to show how far it is."""
    on_step: "Callable[[int, int, Picture | None], None] | None" = None
    """Told in the worker thread: steps done, steps in all, and a preview where asked."""


class Order(NamedTuple):
    """A request, understood: what to draw, and the size it is wanted in."""

    kind: Kind
    jobs: list[Job]
    size: tuple[int, int]
    original: Original | None


class Orders:
    """Requests of one model, understood."""

    def __init__(self, settings: ImageSettings, pipelines: Pipelines) -> None:
        self._settings = settings
        self._pipelines = pipelines
        self._side = settings.side or pipelines.native_side

    def understood(self, request: Drawing, call: CallContext) -> Order:
        """Decodes uploads: not for the event loop. Raises InvalidRequest naming the field."""
        original = self._original(request)
        size = request.wanted or self._usual_size(original)
        kind = self._kind(request, size, original)
        if original is not None:
            original = original.fitted(size)
        first = request.seed if request.seed is not None else secrets.randbits(SEED_BITS)
        job = self._job(request, call, kind, original)
        jobs = [replace(job, seed=first + index) for index in range(request.n)]
        return Order(kind, jobs, size, original)

    def _original(self, request: Drawing) -> Original | None:
        if isinstance(request, ImageEditRequest):
            return original_of(request.image, request.mask)
        if isinstance(request, ImageVariationRequest):
            return Original(original_of(request.image).picture)
        return None

    def _usual_size(self, original: Original | None) -> tuple[int, int]:
        """The model's own size, or an upload's within what `auto` may mean."""
        if original is None:
            return self._side, self._side
        width, height = original.picture.size
        shrink = min(1.0, AUTO_SIDE / max(width, height))
        return max(1, round(width * shrink)), max(1, round(height * shrink))

    def _kind(self, request: Drawing, size: tuple[int, int], original: Original | None) -> Kind:
        guidance = self._settings.guidance if request.guidance is None else request.guidance
        task: Task = "text" if original is None else "image" if original.mask is None else "mask"
        kind = Kind(
            task,
            self._drawn_size(size),
            steps_of(request, self._settings.steps),
            guidance,
            self._strength(request, task),
            lora=None,
            lora_scale=1.0,
            controlnet=None,
            control_scale=1.0,
        )
        if isinstance(request, Prompted):
            kind = self._with_extras(kind, request)
        self._pipelines.get(kind.task, kind.controlnet)
        return kind

    def _with_extras(self, kind: Kind, request: Prompted) -> Kind:
        self._pipelines.require("lora", request.lora, self._settings.loras)
        self._pipelines.require("controlnet", request.controlnet, self._settings.controlnets)
        if (request.controlnet is None) != (request.control_image is None):
            raise InvalidRequest(
                "'controlnet' and 'control_image' belong together", "control_image"
            )
        if request.negative_prompt and not self._pipelines.takes(kind.task, "negative_prompt"):
            raise InvalidRequest("this model takes no negative prompt", "negative_prompt")
        return kind._replace(
            lora=request.lora,
            lora_scale=request.lora_scale if request.lora else 1.0,
            controlnet=request.controlnet,
            control_scale=request.control_scale if request.controlnet else 1.0,
        )

    def _strength(self, request: Drawing, task: Task) -> float:
        if task == "text":
            return 1.0
        asked: float | None = getattr(request, "strength", None)
        if asked is not None:
            return asked
        if isinstance(request, ImageVariationRequest):
            return self._settings.variation_strength
        keep = FIDELITY[getattr(request, "input_fidelity", None)]
        return (1.0 if task == "mask" else self._settings.strength) * keep

    def _drawn_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size to draw in: the same proportions, within what the model can, on its grid."""
        native = min(self._pipelines.native_side, AUTO_SIDE)
        scale = min(
            native * self._settings.oversize / max(size), native / math.sqrt(math.prod(size))
        )
        width, height = (self._on_grid(side, scale) for side in size)
        return width, height

    def _on_grid(self, side: int, scale: float) -> int:
        """`side` scaled, on the model's grid, and not above `side` unless that is tiny."""
        grid = self._pipelines.grid
        most = max(side // grid, LEAST_CELLS)
        return grid * min(max(round(side * scale / grid), LEAST_CELLS), most)

    def _job(
        self, request: Drawing, call: CallContext, kind: Kind, original: Original | None
    ) -> Job:
        job = Job(
            "", "", 0, call, original=None if original is None else original.fitted(kind.size)
        )
        if not isinstance(request, Prompted):
            return job
        control = None if request.control_image is None else control_of(request.control_image)
        return replace(
            job,
            prompt=request.styled_prompt,
            negative=request.styled_negative,
            control=None if control is None else control.resize(kind.size),
        )


def steps_run(kind: Kind) -> int:
    """Steps that a pipeline runs: with part of the noise, part of the steps."""
    return min(kind.steps, max(1, int(kind.steps * kind.strength)))
