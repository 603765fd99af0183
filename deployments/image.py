"""Images: diffusion models that draw, repaint and vary pictures.

Place in the path: step 4. Each picture of a request is one item of the batch queue; items that
agree in size, steps, guidance and add-ons are drawn in one batch, each from its own seed, so that
a picture does not depend on its company. Sizes over the model's own are drawn in its area and then
enlarged. It does not keep pictures: answers carry them.
"""

import asyncio
import base64
import io
import math
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic import Field

from core.errors import InvalidRequest
from core.images import (
    AUTO_SIDE,
    MIN_SIDE,
    MOST_DEFAULT_STEPS,
    Drawing,
    ImageEditRequest,
    ImageRequest,
    ImageVariationRequest,
    Prompted,
    estimate_image,
    steps_of,
)
from core.model import CallContext, Chunk, ModelSpec, Operation, Reply
from core.work import WorkUnits
from deployments.image_batches import Batch, Batcher
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


class Image:
    """One diffusion model."""

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings
        self.pipelines = Pipelines(settings)
        self.side = settings.side or self.pipelines.native_side
        self.batcher: Batcher[Kind, Job, Picture] = Batcher(
            self._draw, settings.max_batch, settings.batch_wait_ms / 1000
        )

    async def generate(self, request: ImageRequest, call: CallContext) -> Reply:
        """Pictures from a prompt, in OpenAI's envelope."""
        return await self._answer(request, await self._order(request, call), call)

    async def edit(self, request: ImageEditRequest, call: CallContext) -> Reply:
        """A picture changed as the prompt says, or only its masked part."""
        return await self._answer(request, await self._order(request, call), call)

    async def vary(self, request: ImageVariationRequest, call: CallContext) -> Reply:
        """Pictures like another."""
        return await self._answer(request, await self._order(request, call), call)

    def generate_stream(
        self, request: ImageRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same pictures as OpenAI's `image_generation.*` events."""
        return self._stream("image_generation", request, call)

    def edit_stream(
        self, request: ImageEditRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same pictures as OpenAI's `image_edit.*` events."""
        return self._stream("image_edit", request, call)

    async def _order(self, request: Drawing, call: CallContext) -> Order:
        return await asyncio.to_thread(self._understood, request, call)

    def _understood(self, request: Drawing, call: CallContext) -> Order:
        """Everything that can be wrong with a request is found here, before any drawing."""
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
            return self.side, self.side
        width, height = original.picture.size
        shrink = min(1.0, AUTO_SIDE / max(width, height))
        return max(1, round(width * shrink)), max(1, round(height * shrink))

    def _kind(self, request: Drawing, size: tuple[int, int], original: Original | None) -> Kind:
        guidance = self.settings.guidance if request.guidance is None else request.guidance
        task: Task = "text" if original is None else "image" if original.mask is None else "mask"
        kind = Kind(
            task,
            self._drawn_size(size),
            steps_of(request, self.settings.steps),
            guidance,
            self._strength(request, task),
            lora=None,
            lora_scale=1.0,
            controlnet=None,
            control_scale=1.0,
        )
        if isinstance(request, Prompted):
            kind = self._with_extras(kind, request)
        self.pipelines.get(kind.task, kind.controlnet)
        return kind

    def _with_extras(self, kind: Kind, request: Prompted) -> Kind:
        self.pipelines.require("lora", request.lora, self.settings.loras)
        self.pipelines.require("controlnet", request.controlnet, self.settings.controlnets)
        if (request.controlnet is None) != (request.control_image is None):
            raise InvalidRequest(
                "'controlnet' and 'control_image' belong together", "control_image"
            )
        if request.negative_prompt and not self.pipelines.takes(kind.task, "negative_prompt"):
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
            return self.settings.variation_strength
        keep = FIDELITY[getattr(request, "input_fidelity", None)]
        return (1.0 if task == "mask" else self.settings.strength) * keep

    def _drawn_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size to draw in: the same proportions, within what the model can, on its grid."""
        native = min(self.pipelines.native_side, AUTO_SIDE)
        scale = min(
            native * self.settings.oversize / max(size), native / math.sqrt(math.prod(size))
        )
        width, height = (self._on_grid(side, scale) for side in size)
        return width, height

    def _on_grid(self, side: int, scale: float) -> int:
        """`side` scaled, on the model's grid, and not above `side` unless that is tiny."""
        grid = self.pipelines.grid
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

    async def _answer(self, request: Drawing, order: Order, call: CallContext) -> Reply:
        works = [self.batcher.submit(order.kind, job) for job in order.jobs]
        pictures = await _together(works)
        bodies = await asyncio.to_thread(self._encoded, request, order, pictures)
        data = [
            {"b64_json": body, "seed": job.seed}
            for body, job in zip(bodies, order.jobs, strict=True)
        ]
        body = {
            "created": int(time.time()),
            "data": data,
            "model": self.settings.name,
            **self._facts(request, order),
            "usage": _usage(call.done),
        }
        return Reply(orjson.dumps(body), call.done)

    async def _stream(
        self, name: str, request: Prompted, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        order = await self._order(request, call)
        events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        steps = _steps_run(order.kind)
        jobs = [
            replace(
                job,
                previews=_preview_steps(steps, request.partial_images),
                on_step=self._teller(name, request, order, index, events),
            )
            for index, job in enumerate(order.jobs)
        ]
        tasks = [
            asyncio.ensure_future(self._told(name, request, order, job, events)) for job in jobs
        ]
        try:
            left = len(jobs)
            while left:
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                if event["type"].endswith(".completed"):
                    left -= 1
                    event["usage"] = _usage(call.done)
                yield Chunk(_sse(event), call.done)
        finally:
            for task in tasks:
                task.cancel()

    async def _told(
        self,
        name: str,
        request: Prompted,
        order: Order,
        job: Job,
        events: "asyncio.Queue[dict[str, Any] | Exception]",
    ) -> None:
        """Draw one picture of a stream, and tell of it or of why not."""
        try:
            picture = await self.batcher.submit(order.kind, job)
            (body,) = await asyncio.to_thread(self._encoded, request, order, [picture])
            events.put_nowait(
                self._event(name, "completed", request, order)
                | {"b64_json": body, "seed": job.seed}
            )
        except Exception as error:  # noqa: BLE001  # raised again where the stream is read
            events.put_nowait(error)

    def _teller(
        self,
        name: str,
        request: Prompted,
        order: Order,
        index: int,
        events: "asyncio.Queue[dict[str, Any] | Exception]",
    ) -> "Callable[[int, int, Picture | None], None]":
        """What the worker thread calls after each step of one picture."""
        loop = asyncio.get_running_loop()
        shown = 0

        def tell(done: int, steps: int, preview: "Picture | None") -> None:
            nonlocal shown
            if request.progress:
                progress = {
                    "type": f"{name}.progress",
                    "index": index,
                    "step": done,
                    "steps": steps,
                }
                loop.call_soon_threadsafe(events.put_nowait, progress)
            if preview is not None:
                (body,) = self._encoded(request, order, [preview])
                event = self._event(name, "partial_image", request, order)
                event |= {"b64_json": body, "partial_image_index": shown}
                shown += 1
                loop.call_soon_threadsafe(events.put_nowait, event)

        return tell

    def _event(self, name: str, kind: str, request: Drawing, order: Order) -> dict[str, Any]:
        return {
            "type": f"{name}.{kind}",
            "created_at": int(time.time()),
            **self._facts(request, order),
        }

    def _facts(self, request: Drawing, order: Order) -> dict[str, Any]:
        width, height = order.size
        return {
            "background": "opaque",
            "output_format": request.output_format,
            "quality": request.quality,
            "size": f"{width}x{height}",
        }

    def _encoded(self, request: Drawing, order: Order, pictures: "Sequence[Picture]") -> list[str]:
        """Files in base64: enlarged to the wanted size, what was not masked put back."""
        return [_file(self._finished(picture, order), request) for picture in pictures]

    def _finished(self, picture: "Picture", order: Order) -> "Picture":
        from PIL import Image as Pillow

        if picture.size != order.size:
            picture = picture.resize(order.size, Pillow.Resampling.LANCZOS)
        if order.original is not None and order.original.mask is not None:
            # Latents are coarser than masks: outside the mask, the caller's own pixels.
            picture = Pillow.composite(picture, order.original.picture, order.original.mask)
        return picture

    def _draw(self, batch: Batch[Kind, Job, "Picture"]) -> "Sequence[Picture]":
        """One run of the pipeline. In the worker thread."""
        kind, jobs = batch.kind, batch.jobs
        batch.checkpoint()
        self.pipelines.use_lora(kind.lora, kind.lora_scale)
        pipeline = self.pipelines.get(kind.task, kind.controlnet)
        steps = _steps_run(kind)
        done = 0

        def after_step(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            done += 1
            for index, job in enumerate(jobs):
                if batch.waits(index):
                    self._count_step(job, kind)
                    self._tell_step(job, index, done, steps)
            batch.checkpoint()
            return tensors

        arguments = self._arguments(kind, jobs) | {"callback_on_step_end": after_step}
        with self.pipelines.torch.inference_mode():
            pictures: list[Picture] = pipeline(**arguments).images
        return pictures

    def _count_step(self, job: Job, kind: Kind) -> None:
        """Kept current, so that a call that is cut short is billed for what was drawn."""
        width, height = kind.size
        job.call.done += WorkUnits(pixel_steps=width * height)

    def _tell_step(self, job: Job, index: int, done: int, steps: int) -> None:
        if job.on_step is None:
            return
        expected = self.pipelines.expectation() if done in job.previews else None
        preview = None
        if expected is not None and len(expected) > index:
            preview = self.pipelines.decode(expected[index : index + 1])[0]
        job.on_step(done, steps, preview)

    def _arguments(self, kind: Kind, jobs: list[Job]) -> dict[str, Any]:
        """The pipeline's arguments; those that a kind of model lacks are left out."""
        width, height = kind.size
        generators = [self.pipelines.torch.Generator("cpu").manual_seed(job.seed) for job in jobs]
        arguments: dict[str, Any] = {
            "prompt": [job.prompt for job in jobs],
            "negative_prompt": [job.negative for job in jobs],
            "num_inference_steps": kind.steps,
            "guidance_scale": kind.guidance,
            "guidance_rescale": self.settings.guidance_rescale,
            "generator": generators,
            "width": width,
            "height": height,
        }
        arguments |= _picture_arguments(kind, jobs)
        accepted = [name for name in arguments if self._accepts(kind, name)]
        return {name: arguments[name] for name in accepted}

    def _accepts(self, kind: Kind, name: str) -> bool:
        return self.pipelines.takes(kind.task, name, kind.controlnet)


def _picture_arguments(kind: Kind, jobs: list[Job]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    originals = [job.original for job in jobs if job.original is not None]
    controls = [job.control for job in jobs]
    if originals:
        arguments |= {"image": [o.picture for o in originals], "strength": kind.strength}
    if kind.task == "mask":
        arguments["mask_image"] = [original.mask for original in originals]
    if kind.controlnet is not None:
        arguments["controlnet_conditioning_scale"] = kind.control_scale
        # Text-to-image pipelines with a ControlNet call what it follows `image`.
        arguments["control_image" if originals else "image"] = controls
    return arguments


def _steps_run(kind: Kind) -> int:
    """Steps that a pipeline runs: with part of the noise, part of the steps."""
    return min(kind.steps, max(1, int(kind.steps * kind.strength)))


def _preview_steps(steps: int, count: int) -> frozenset[int]:
    """After which steps to show `count` previews, evenly spread before the end."""
    return frozenset(max(1, round(steps * (i + 1) / (count + 1))) for i in range(count))


async def _together(works: "Sequence[Coroutine[Any, Any, Picture]]") -> "list[Picture]":
    """All results; when one fails or the caller goes, none of the others goes on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _file(picture: "Picture", request: Drawing) -> str:
    """The picture's file in base64."""
    options: dict[str, Any] = {}
    if request.output_format != "png":
        options["quality"] = max(1, request.output_compression)
    file = io.BytesIO()
    picture.save(file, request.output_format.upper(), **options)
    return base64.b64encode(file.getvalue()).decode()


def _usage(units: WorkUnits) -> dict[str, Any]:
    """OpenAI's usage object. Pictures are billed by pixels and steps, not by tokens."""
    details = {"text_tokens": 0, "image_tokens": 0}
    return {
        "input_tokens": 0,
        "input_tokens_details": details,
        "output_tokens": 0,
        "output_tokens_details": details,
        "total_tokens": 0,
        "pixel_steps": units.pixel_steps,
    }


def _sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"


SPEC = ModelSpec(
    family="image",
    model=Image,
    settings=ImageSettings,
    operations={
        "generate": Operation(
            method="generate",
            stream_method="generate_stream",
            request=ImageRequest,
            estimate=estimate_image,
        ),
        "edit": Operation(
            method="edit",
            stream_method="edit_stream",
            request=ImageEditRequest,
            estimate=estimate_image,
        ),
        "variation": Operation(
            method="vary", request=ImageVariationRequest, estimate=estimate_image
        ),
    },
    options={"max_ongoing_requests": 32, "max_queued_requests": 64},
)
