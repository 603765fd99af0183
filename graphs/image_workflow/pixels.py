"""Pixels: a picture made larger by resampling, and written in the format that was asked for.

Place in the path: the stage `upscale`, and the end of a workflow. It blocks: call it off the event
loop. No model is called here.
"""

import io
from typing import Literal

from PIL import Image

from core.images import MAX_PIXELS
from deployments.pictures import as_rgb, open_picture

Format = Literal["png", "jpeg", "webp"]


def enlarged(picture: bytes, factor: float, grid: int = 1) -> bytes:
    """A PNG in a size `factor` times its own, by Lanczos resampling.

    Args:
        grid: both sides of the result are multiples of it.
    """
    opened = _opened(picture, "image")
    width, height = (grid * max(1, round(side * factor / grid)) for side in opened.size)
    return _file(opened.resize((width, height), Image.Resampling.LANCZOS), "png", 100)


def as_png(picture: bytes, param: str) -> bytes:
    """`picture` upright, in RGB, as PNG. Raises InvalidRequest naming `param`."""
    return _file(_opened(picture, param), "png", 100)


def written(picture: bytes, form: Format, quality: int) -> bytes:
    """A PNG in the format of the answer; `quality` in percent, for jpeg and webp."""
    return picture if form == "png" else _file(_opened(picture, "image"), form, quality)


def size_of(picture: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a file that was made here."""
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.size


def _opened(picture: bytes, param: str) -> Image.Image:
    return as_rgb(open_picture(picture, param, max_pixels=MAX_PIXELS))


def _file(picture: Image.Image, form: Format, quality: int) -> bytes:
    file = io.BytesIO()
    options = {} if form == "png" else {"quality": max(1, quality)}
    picture.save(file, form.upper(), **options)
    return file.getvalue()
