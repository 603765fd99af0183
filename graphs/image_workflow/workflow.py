"""The stages of an image workflow, in order: generate, describe, refine, upscale.

Place in the path: the graph's replica. Each picture is drawn and described for itself, so that
nobody waits for the slowest; refinement looks at all of them, because it takes the worst. A stage
that fails ends the call: nothing is answered in part, and nothing is kept here.
"""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import orjson
from pydantic import Field

from core.errors import InvalidRequest
from core.image_stages import GenerateStage, RefineStage, UpscaleStage
from core.image_workflow import MAX_SEED, ImageWorkflowRequest, Planned
from core.model import CallContext, Frozen, Reply
from core.vision import DescriptionRequest
from core.work import WorkUnits
from graphs.branches import together
from graphs.image_workflow.matching import match
from graphs.image_workflow.painting import Painted, Painter, faults_at
from graphs.image_workflow.piece import Piece
from graphs.step import Step

SEED_STRIDE = 7919
"""Between the seeds of rounds: further than the variations of one prompt reach."""
MODEL_GRID = 8
"""Sides of pictures that are drawn are multiples of it."""


class ImageWorkflowSettings(Frozen):
    """`engine` settings of an image workflow."""

    name: str = "image-workflow"
    """Name that answers carry."""
    image: str
    """Id of the image model that draws."""
    vision: str
    """Id of the vision model that describes."""
    upscaler: str | None = None
    """Id of an image model that upscales by `method: model`; None refuses that."""
    at_once: int = Field(8, ge=1)
    """Pictures of one call that are worked on at the same time."""


class ImageWorkflow:
    """One image model, one vision model, and the order of work."""

    def __init__(self, settings: ImageWorkflowSettings) -> None:
        from graphs.image_workflow import answers, pixels

        self.settings = settings
        self.answers = answers
        self.pixels = pixels
        self.painter = Painter(settings.image)
        self.viewer = Step(settings.vision)
        self.upscaler = None if settings.upscaler is None else Painter(settings.upscaler)

    async def run(self, request: ImageWorkflowRequest, call: CallContext) -> Reply:
        """All pictures of the batch, through all stages that were asked for."""
        run = _Run(self, request, call)
        pieces = await run.pieces()
        body = await asyncio.to_thread(self.answers.body, request, pieces, self.settings.name, call)
        return Reply(body, call.done)


class _Run:
    """One call."""

    def __init__(
        self, workflow: ImageWorkflow, request: ImageWorkflowRequest, call: CallContext
    ) -> None:
        self._workflow = workflow
        self._request = request
        self._call = call
        self._places = asyncio.Semaphore(workflow.settings.at_once)
        self._drawing = request.drawing or GenerateStage()

    async def pieces(self) -> list[Piece]:
        """Every picture, finished."""
        self._require_upscaler()
        first = secrets.randbelow(MAX_SEED)
        planned = self._request.planned()
        pieces = await together(self._begun(index, one, first) for index, one in enumerate(planned))
        if self._request.refine is not None:
            await self._refined(pieces, self._request.refine)
        if self._request.upscale is not None:
            upscale = self._request.upscale
            await together(self._upscaled(piece, upscale) for piece in pieces)
        return pieces

    async def _begun(self, index: int, planned: Planned, first: int) -> Piece:
        """A picture drawn, or taken from the request, and described."""
        async with self._places:
            seed = planned.seed
            if seed is None and self._request.drawing is not None:
                seed = (first + planned.offset) % MAX_SEED
            piece = Piece(index, planned, seed)
            if self._request.drawing is None:
                piece.picture = await self._uploaded(planned)
            else:
                assert seed is not None  # given above to all that are drawn
                _keep(piece, await self._drawn(planned, seed), "generate")
            if self._request.describing is not None:
                await self._described(piece)
                piece.note("describe", **_said(piece), model=self._workflow.viewer.model)
            return piece

    async def _uploaded(self, planned: Planned) -> bytes:
        data = self._image(planned)
        return await asyncio.to_thread(self._workflow.pixels.as_png, data, "images")

    async def _drawn(self, planned: Planned, seed: int) -> Painted:
        painter, stage = self._workflow.painter, self._drawing
        if planned.image is None:
            assert planned.prompt is not None  # as the request was validated
            return await painter.draw(planned.prompt, seed, stage, self._call)
        picture = self._image(planned)
        if planned.prompt is None:
            return await painter.vary(picture, seed, stage, self._call)
        return await painter.change(
            picture, planned.prompt, seed, stage, self._call, strength=stage.strength
        )

    async def _described(self, piece: Piece) -> None:
        stage = self._request.describing
        assert stage is not None  # whoever calls this has asked
        asked: dict[str, Any] = {"image": piece.picture, "max_tokens": stage.max_tokens}
        if stage.question is not None:
            asked |= {"task": "question", "question": stage.question}
        with faults_at("describe"):
            reply = await self._workflow.viewer.answer(
                "describe", DescriptionRequest(**asked), self._call
            )
        piece.text = str(orjson.loads(reply.body)["text"])
        expected = stage.expect
        if expected is None and stage.question is None and piece.planned.prompt is not None:
            expected = [piece.planned.prompt]
        piece.match = match(expected or [], piece.text)

    async def _refined(self, pieces: list[Piece], stage: RefineStage) -> None:
        """Rounds over the worst pictures, until all are good enough or no round is left."""
        for number in range(1, stage.rounds + 1):
            poor = sorted(
                (piece for piece in pieces if piece.score < stage.target),
                key=lambda piece: piece.score,
            )
            if not poor:
                return
            await together(self._again(piece, stage, number) for piece in poor[: stage.worst])

    async def _again(self, piece: Piece, stage: RefineStage, number: int) -> None:
        """One more picture; it is kept when it fits better."""
        async with self._places:
            seed = ((piece.seed or 0) + SEED_STRIDE * number) % MAX_SEED
            painted = await self._redrawn(piece, stage, seed)
            other = replace(piece, seed=seed, picture=painted.picture)
            await self._described(other)
            is_better = other.score > piece.score
            piece.note(
                "refine",
                painted.picture,
                round=number,
                how=stage.how,
                seed=painted.seed,
                size=painted.size,
                model=painted.model,
                **_said(other),
                kept=is_better,
            )
            if is_better:
                piece.seed, piece.picture = painted.seed, painted.picture
                piece.text, piece.match = other.text, other.match

    async def _redrawn(self, piece: Piece, stage: RefineStage, seed: int) -> Painted:
        prompt = piece.planned.prompt
        assert prompt is not None  # as the request was validated
        painter = self._workflow.painter
        if stage.how == "reseed" and piece.planned.image is None:
            return await painter.draw(prompt, seed, self._drawing, self._call)
        picture = piece.picture if stage.how == "edit" else self._image(piece.planned)
        return await painter.change(
            picture,
            prompt,
            seed,
            self._drawing,
            self._call,
            strength=stage.strength or self._drawing.strength,
            place="refine",
        )

    async def _upscaled(self, piece: Piece, stage: UpscaleStage) -> None:
        async with self._places:
            pixels = self._workflow.pixels
            grid = MODEL_GRID if stage.method == "model" else 1
            larger = await asyncio.to_thread(pixels.enlarged, piece.picture, stage.factor, grid)
            width, height = pixels.size_of(larger)
            self._call.done += WorkUnits(pixel_steps=width * height)
            facts: dict[str, Any] = {"method": stage.method, "size": f"{width}x{height}"}
            if stage.method == "model":
                painted = await self._redetailed(piece, larger, stage)
                larger = painted.picture
                facts |= {"size": painted.size, "model": painted.model}
            piece.picture = larger
            piece.note("upscale", larger, **facts)

    async def _redetailed(self, piece: Piece, larger: bytes, stage: UpscaleStage) -> Painted:
        upscaler = self._workflow.upscaler
        assert upscaler is not None  # refused at the beginning
        assert piece.planned.prompt is not None  # as the request was validated
        width, height = self._workflow.pixels.size_of(larger)
        return await upscaler.change(
            larger,
            piece.planned.prompt,
            piece.seed or 0,
            self._drawing.model_copy(update={"size": f"{width}x{height}"}),
            self._call,
            strength=stage.strength,
            place="upscale",
        )

    def _image(self, planned: Planned) -> bytes:
        assert self._request.images is not None  # pictures from images alone have no prompt
        assert planned.image is not None
        return self._request.images[planned.image].data

    def _require_upscaler(self) -> None:
        """Raises InvalidRequest before anything is drawn."""
        upscale = self._request.upscale
        if upscale is not None and upscale.method == "model" and self._workflow.upscaler is None:
            raise InvalidRequest(
                "no model is configured for upscaling: use 'lanczos'", "upscale.method"
            )


def _keep(piece: Piece, painted: Painted, stage: str) -> None:
    piece.picture, piece.seed = painted.picture, painted.seed
    piece.note(stage, painted.picture, seed=painted.seed, size=painted.size, model=painted.model)


def _said(piece: Piece) -> dict[str, Any]:
    return {
        "text": piece.text,
        "match": None if piece.match is None else piece.match.document(),
    }
