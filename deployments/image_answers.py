"""Drawn pictures as answers: files in base64, in OpenAI's envelopes and events.

Place in the path: step 4, after drawing. It decides nothing about what is drawn.
"""

import base64
import io
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from core.images import Drawing
from core.work import WorkUnits
from deployments.image_orders import Order

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


def event(name: str, kind: str, request: Drawing, order: Order) -> dict[str, Any]:
    """An event of a stream, before what it carries."""
    return {
        "type": f"{name}.{kind}",
        "created_at": int(time.time()),
        **facts(request, order),
    }


def facts(request: Drawing, order: Order) -> dict[str, Any]:
    """What OpenAI's answers say of how pictures were made."""
    width, height = order.size
    return {
        "background": "opaque",
        "output_format": request.output_format,
        "quality": request.quality,
        "size": f"{width}x{height}",
    }


def encoded(request: Drawing, order: Order, pictures: "Sequence[Picture]") -> list[str]:
    """Files in base64: enlarged to the wanted size, what was not masked put back."""
    return [_file(_finished(picture, order), request) for picture in pictures]


def _finished(picture: "Picture", order: Order) -> "Picture":
    from PIL import Image as Pillow

    if picture.size != order.size:
        picture = picture.resize(order.size, Pillow.Resampling.LANCZOS)
    if order.original is not None and order.original.mask is not None:
        # Latents are coarser than masks: outside the mask, the caller's own pixels.
        picture = Pillow.composite(picture, order.original.picture, order.original.mask)
    return picture


def _file(picture: "Picture", request: Drawing) -> str:
    """The picture's file in base64."""
    options: dict[str, Any] = {}
    if request.output_format != "png":
        options["quality"] = max(1, request.output_compression)
    file = io.BytesIO()
    picture.save(file, request.output_format.upper(), **options)
    return base64.b64encode(file.getvalue()).decode()


def usage(units: WorkUnits) -> dict[str, Any]:
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


def sse(event: dict[str, Any]) -> bytes:
    """An event on the wire."""
    return f"event: {event['type']}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"
