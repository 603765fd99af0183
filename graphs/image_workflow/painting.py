"""Painting: what a workflow asks of an image model, one picture a call.

Place in the path: the stages `generate` and `refine`, and `upscale` by a model. The image model
draws calls that arrive together in one batch; its faults are told in the workflow's words. It
judges no picture.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson

from core.errors import InvalidRequest
from core.image_stages import GenerateStage
from core.images import Drawing, ImageEditRequest, ImageRequest, ImageVariationRequest
from core.model import CallContext
from graphs.step import Step


class Painted(NamedTuple):
    """A drawn picture."""

    picture: bytes
    """PNG."""
    seed: int
    model: str
    size: str
    """`WIDTHxHEIGHT`."""


class Painter:
    """One image model."""

    def __init__(self, model: str) -> None:
        self._step = Step(model)

    async def draw(
        self, prompt: str, seed: int, stage: GenerateStage, call: CallContext
    ) -> Painted:
        """A picture from a prompt."""
        request = ImageRequest(prompt=prompt, **_shared(stage, seed), **stage.prompted)
        return await self._asked("generate", request, "generate", call)

    async def change(
        self,
        picture: bytes,
        prompt: str,
        seed: int,
        stage: GenerateStage,
        call: CallContext,
        *,
        strength: float | None,
        place: str = "generate",
    ) -> Painted:
        """A picture changed as the prompt says. Faults name a field of the stage `place`."""
        request = ImageEditRequest(
            prompt=prompt,
            image=_file(picture),
            strength=strength,
            **_shared(stage, seed),
            **stage.prompted,
        )
        return await self._asked("edit", request, place, call)

    async def vary(
        self, picture: bytes, seed: int, stage: GenerateStage, call: CallContext
    ) -> Painted:
        """A picture like another."""
        request = ImageVariationRequest(
            image=_file(picture), strength=stage.strength, **_shared(stage, seed)
        )
        return await self._asked("variation", request, "generate", call)

    async def _asked(
        self, operation: str, request: Drawing, place: str, call: CallContext
    ) -> Painted:
        with faults_at(place):
            reply = await self._step.answer(operation, request, call)
        body: dict[str, Any] = orjson.loads(reply.body)
        (drawn,) = body["data"]
        return Painted(
            base64.b64decode(drawn["b64_json"]), drawn["seed"], body["model"], body["size"]
        )


def _shared(stage: GenerateStage, seed: int) -> dict[str, Any]:
    """The fields that every drawing takes."""
    return {
        "seed": seed,
        "size": stage.size,
        "quality": stage.quality,
        "steps": stage.steps,
        "guidance": stage.guidance,
    }


def _file(picture: bytes) -> dict[str, Any]:
    return {"data": picture, "media_type": "image/png"}


@contextmanager
def faults_at(place: str) -> Iterator[None]:
    """A model's InvalidRequest, told at the stage whose field is to blame.

    What the model says of a prompt, the workflow's `prompt` has said too.
    """
    try:
        yield
    except InvalidRequest as error:
        if error.param is None or error.param == "prompt":
            raise
        at = {"image": "images"}.get(error.param, f"{place}.{error.param}")
        raise InvalidRequest(error.message.replace(f"'{error.param}'", f"'{at}'"), at) from error
