"""An image model and a vision model for graphs: circles on plain backgrounds, drawn and seen.

The painter slips for the seeds that a test names: it draws its circle in another colour.
"""

import asyncio
import base64
import io
import json
from typing import Any

from PIL import Image, ImageDraw

from core.errors import InvalidRequest
from core.images import ImageEditRequest, ImageVariationRequest, steps_of
from core.model import CallContext, Reply
from core.work import WorkUnits

TONES = {
    "red": (220, 35, 40),
    "green": (35, 165, 70),
    "blue": (35, 80, 220),
    "yellow": (245, 215, 45),
    "white": (248, 248, 248),
    "black": (18, 18, 18),
}
NATIVE = 64
USUAL_STEPS = 20


def stand_in(model: object) -> Any:
    """`model` where a step is expected."""
    return model


def circle(colour: str, background: str, size: tuple[int, int] = (NATIVE, NATIVE)) -> bytes:
    """A PNG."""
    picture = Image.new("RGB", size, TONES[background])
    width, height = size
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    ImageDraw.Draw(picture).ellipse(box, fill=TONES[colour])
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def seen(data: bytes) -> tuple[str, str]:
    """Colours of the middle and of a corner."""
    picture = opened(data).convert("RGB")
    width, height = picture.size
    return _nearest(picture.getpixel((width // 2, height // 2))), _nearest(picture.getpixel((1, 1)))


def _nearest(pixel: Any) -> str:
    distances = {
        name: sum((a - b) ** 2 for a, b in zip(pixel, tone, strict=True))
        for name, tone in TONES.items()
    }
    return min(distances, key=distances.__getitem__)


class Painter:
    """In place of the step that calls an image model."""

    model = "starter-image"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.slips: set[int] = set()
        """Seeds for which it draws another colour."""
        self.edits_slip = False
        self.errors: list[Exception] = []
        """Raised at once, one a call."""
        self.wait_s = 0.0
        self.at_once = self.most_at_once = 0

    async def answer(self, operation: str, request: Any, call: CallContext) -> Reply:
        self.asked.append((operation, request))
        if self.errors:
            raise self.errors.pop()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.wait_s)
        finally:
            self.at_once -= 1
        if getattr(request, "lora", None):
            raise InvalidRequest(f"this model has no 'lora' '{request.lora}'", "lora")
        size = self._size(request)
        data = circle(*self._colours(operation, request), size)
        units = WorkUnits(pixel_steps=size[0] * size[1] * steps_of(request, USUAL_STEPS))
        call.done += units
        body = {
            "data": [{"b64_json": base64.b64encode(data).decode(), "seed": request.seed}],
            "model": self.model,
            "size": f"{size[0]}x{size[1]}",
        }
        return Reply(json.dumps(body).encode(), units)

    def _colours(self, operation: str, request: Any) -> tuple[str, str]:
        if isinstance(request, ImageVariationRequest):
            return seen(request.image.data)
        named = [word for word in request.prompt.lower().split() if word in TONES]
        colour, background = named[0], named[1] if len(named) > 1 else "white"
        slipped = self.edits_slip if operation == "edit" else request.seed in self.slips
        return ("black" if slipped else colour), background

    def _size(self, request: Any) -> tuple[int, int]:
        if request.wanted is not None:
            size: tuple[int, int] = request.wanted
            return size
        if isinstance(request, ImageEditRequest | ImageVariationRequest):
            return opened(request.image.data).size
        return NATIVE, NATIVE


class Viewer:
    """In place of the step that calls a vision model."""

    model = "starter-vision"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def answer(self, operation: str, request: Any, call: CallContext) -> Reply:
        self.asked.append(request)
        colour, background = seen(request.image)
        text = f"a {colour} circle on a {background} background"
        if request.question is not None:
            text = colour
        units = WorkUnits(input_tokens=70, output_tokens=len(text.split()))
        call.done += units
        return Reply(json.dumps({"text": text}).encode(), units)
