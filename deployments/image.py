"""Images: diffusion models that draw, repaint and vary pictures.

Place in the path: step 4. Each picture of a request is one item of the batch queue; items that
agree in size, steps, guidance and add-ons are drawn in one batch, each from its own seed, so that
a picture does not depend on its company. Sizes over the model's own are drawn in its area and then
enlarged. It does not keep pictures: answers carry them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from core.images import (
    Drawing,
    ImageEditRequest,
    ImageRequest,
    ImageVariationRequest,
    Prompted,
    estimate_image,
)
from core.model import CallContext, Chunk, ModelSpec, Operation, Reply
from core.work import WorkUnits
from deployments.batcher import Batch, Batcher
from deployments.device_time import DeviceTime
from deployments.image_answers import encoded, facts, sse, usage
from deployments.image_answers import event as event_of
from deployments.image_orders import ImageSettings, Job, Kind, Order, Orders, steps_run
from deployments.image_pipelines import Pipelines

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


class Image:
    """One diffusion model."""

    def __init__(self, settings: ImageSettings) -> None:
        self.settings = settings
        self.pipelines = Pipelines(settings)
        self.orders = Orders(settings, self.pipelines)
        self.device = DeviceTime()
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
        return await asyncio.to_thread(self.orders.understood, request, call)

    async def _answer(self, request: Drawing, order: Order, call: CallContext) -> Reply:
        works = [self.batcher.submit(order.kind, job, job.call.request_id) for job in order.jobs]
        pictures = await _together(works)
        bodies = await asyncio.to_thread(encoded, request, order, pictures)
        data = [
            {"b64_json": body, "seed": job.seed}
            for body, job in zip(bodies, order.jobs, strict=True)
        ]
        body = {
            "created": int(time.time()),
            "data": data,
            "model": self.settings.name,
            **facts(request, order),
            "usage": usage(call.done),
        }
        return Reply(orjson.dumps(body), call.done)

    async def _stream(
        self, name: str, request: Prompted, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        order = await self._order(request, call)
        events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        steps = steps_run(order.kind)
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
                    event["usage"] = usage(call.done)
                yield Chunk(sse(event), call.done)
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
            picture = await self.batcher.submit(order.kind, job, job.call.request_id)
            (body,) = await asyncio.to_thread(encoded, request, order, [picture])
            events.put_nowait(
                event_of(name, "completed", request, order) | {"b64_json": body, "seed": job.seed}
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
                (body,) = encoded(request, order, [preview])
                event = event_of(name, "partial_image", request, order)
                event |= {"b64_json": body, "partial_image_index": shown}
                shown += 1
                loop.call_soon_threadsafe(events.put_nowait, event)

        return tell

    def _draw(self, batch: Batch[Kind, Job, "Picture"]) -> "Sequence[Picture]":
        """One run of the pipeline. In the worker thread."""
        batch.checkpoint()
        with self.device.busy(*(job.call for job in batch.jobs)):
            return self._drawn(batch)

    def _drawn(self, batch: Batch[Kind, Job, "Picture"]) -> "Sequence[Picture]":
        kind, jobs = batch.kind, batch.jobs
        self.pipelines.use_lora(kind.lora, kind.lora_scale)
        pipeline = self.pipelines.get(kind.task, kind.controlnet)
        steps = steps_run(kind)
        done = 0

        def after_step(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            done += 1
            self.device.tick()
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
            makes_media=True,
        ),
        "edit": Operation(
            method="edit",
            stream_method="edit_stream",
            request=ImageEditRequest,
            estimate=estimate_image,
            makes_media=True,
        ),
        "variation": Operation(
            method="vary",
            request=ImageVariationRequest,
            estimate=estimate_image,
            makes_media=True,
        ),
    },
    options={"max_ongoing_requests": 32, "max_queued_requests": 64},
)
