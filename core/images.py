"""Image requests, as OpenAI's `/v1/images` defines them, and what diffusion models add.

Place in the path: parsed once by the gateway (step 1); image models receive the same types. It
checks shape and counts, and by their headers that uploads are pictures of a size that can be
handled: what is none wakes no model. Whether they can be decoded is the model's to find out; a
model that lacks a field (a negative prompt, a LoRA) says so.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from core.model import ModelCard
from core.pictures import MAX_BYTES, check_declared, picture_header
from core.styles import styles
from core.work import WorkUnits

MAX_SIDE = 2048
MIN_SIDE = 64
AUTO_SIDE = 1024
"""Side of the largest square that `size: auto` may mean."""
MAX_PICTURES = 10
MAX_PIXELS = 2**24
"""Of an upload, 16 million: a photograph. Uploads are held in memory several times over."""
MAX_STEPS = 100
MOST_DEFAULT_STEPS = 50
"""Most steps of a picture of medium quality when neither request nor model says more."""
LONGEST_PROMPT = 32_000
SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.=+-]+)*;base64,", re.IGNORECASE)
QUALITY = {"low": 0.5, "medium": 1.0, "standard": 1.0, "auto": 1.0, "high": 2.0, "hd": 2.0}
"""Share of a model's usual steps."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class PictureFile(BaseModel):
    """An uploaded file. `media_type` is its sender's claim."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64")

    data: bytes = Field(repr=False)
    media_type: str = ""


def _picture(value: Any) -> Any:
    """A file from base64, a data URL or {"url": one}; what a form brought is one already."""
    if isinstance(value, dict) and list(value) == ["url"]:
        value = value["url"]
    if not isinstance(value, str):
        return value
    if value[:8].lower().startswith(("http://", "https://")):
        raise ValueError("a picture is sent as a file, base64 or a data URL, not by address")
    found = DATA_URL.match(value)
    try:
        data = base64.b64decode(value[found.end() :] if found else value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("neither valid base64 nor a base64 data URL") from None
    return {"data": data, "media_type": (found.group(1) or "") if found else ""}


def _checked(file: PictureFile) -> PictureFile:
    """`file`, if its first bytes are a picture's. Raises ValueError."""
    if len(file.data) > MAX_BYTES:
        raise ValueError(f"has {len(file.data)} bytes; the limit is {MAX_BYTES} bytes")
    header = picture_header(file.data)
    check_declared(header, file.media_type)
    if header.pixels > MAX_PIXELS:
        size = f"{header.width} x {header.height}"
        raise ValueError(f"has {size} pixels; the limit is {MAX_PIXELS} in all")
    return file


Upload = Annotated[PictureFile, BeforeValidator(_picture), AfterValidator(_checked)]


class Drawing(BaseModel):
    """What every operation takes. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64")

    model: str | None = None
    n: int = Field(1, ge=1, le=MAX_PICTURES)
    size: str = "auto"
    """`auto`, or `WIDTHxHEIGHT` in pixels."""
    response_format: Literal["url", "b64_json"] = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(100, ge=0, le=100)
    """Quality of jpeg and webp in percent."""
    quality: Literal["low", "medium", "high", "auto", "standard", "hd"] = "auto"
    background: Literal["opaque", "auto"] = "auto"
    user: str | None = None
    moderation: Literal["low", "auto"] | None = None
    """Accepted for OpenAI's clients; no model here filters."""
    safety_identifier: str | None = None

    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance: float | None = Field(None, ge=0, le=30)
    """How strictly to follow the prompt; at 1 and below the negative prompt has no effect."""
    seed: int | None = Field(None, ge=0, lt=2**63 - MAX_PICTURES)
    """The first picture's; the next ones count on. A seed repeats a picture."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any, info: Any) -> Any:
        # OpenAI's clients send null for "whatever you do by default".
        field = cls.model_fields[info.field_name]
        return field.get_default() if value is None and not field.is_required() else value

    @field_validator("size")
    @classmethod
    def _size_is_known(cls, value: str) -> str:
        if value != "auto":
            side_limits(value)
        return value

    @property
    def wanted(self) -> tuple[int, int] | None:
        """(width, height) in pixels; None leaves it to the model."""
        return None if self.size == "auto" else side_limits(self.size)


def side_limits(size: str) -> tuple[int, int]:
    """(width, height) of `WIDTHxHEIGHT`. Raises ValueError when it is no such size."""
    found = SIZE.fullmatch(size)
    if found is None:
        raise ValueError("must be 'auto' or WIDTHxHEIGHT, such as 512x512")
    width, height = int(found[1]), int(found[2])
    if not all(MIN_SIDE <= side <= MAX_SIDE and side % 8 == 0 for side in (width, height)):
        raise ValueError(f"each side must be a multiple of 8 from {MIN_SIDE} to {MAX_SIDE} pixels")
    return width, height


class Prompted(Drawing):
    """What operations with a prompt add."""

    prompt: str = Field(min_length=1, max_length=LONGEST_PROMPT)
    negative_prompt: str = Field("", max_length=LONGEST_PROMPT)
    style: str | None = None
    lora: Name | None = None
    lora_scale: float = Field(1.0, ge=0, le=2)
    controlnet: Name | None = None
    control_image: Upload | None = None
    control_scale: float = Field(1.0, ge=0, le=2)

    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    """Previews of each picture in a stream."""
    progress: bool = False
    """Also tell a stream each step. OpenAI's clients do not know these events."""

    @field_validator("style")
    @classmethod
    def _style_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in styles():
            raise ValueError("no such style; there are: " + ", ".join(styles()))
        return value

    @model_validator(mode="after")
    def _streams_carry_pictures(self) -> Self:
        if self.stream and self.response_format == "url":
            raise ValueError("a stream carries pictures as b64_json, not as url")
        return self

    @property
    def styled_prompt(self) -> str:
        return styles()[self.style].prompt_of(self.prompt) if self.style else self.prompt

    @property
    def styled_negative(self) -> str:
        negative = self.negative_prompt
        return styles()[self.style].negative_of(negative) if self.style else negative


class ImageRequest(Prompted):
    """POST /v1/images/generations."""


class ImageEditRequest(Prompted):
    """POST /v1/images/edits: a picture and a prompt; with a mask, only a part is repainted.

    In a mask, transparent means repaint (OpenAI's convention); in one without transparency,
    white does. A picture with transparent parts is its own mask.
    """

    image: Upload
    mask: Upload | None = None
    strength: float | None = Field(None, gt=0, le=1)
    """How much to change: near 0 almost nothing, 1 everything."""
    input_fidelity: Literal["high", "low"] | None = None
    """OpenAI's word for it: `high` keeps more of the picture."""


class ImageVariationRequest(Drawing):
    """POST /v1/images/variations: pictures like this one."""

    image: Upload
    strength: float | None = Field(None, gt=0, le=1)


def steps_of(request: Drawing, usual: int) -> int:
    """Denoising steps that `request` asks of a model that usually takes `usual`."""
    if request.steps is not None:
        return request.steps
    return max(1, min(MAX_STEPS, round(usual * QUALITY[request.quality])))


def estimate_image(request: Drawing, _: ModelCard) -> WorkUnits:
    """Upper bound: every asked pixel in every step of every picture."""
    width, height = request.wanted or (AUTO_SIDE, AUTO_SIDE)
    steps = steps_of(request, MOST_DEFAULT_STEPS)
    return WorkUnits(pixel_steps=width * height * steps * request.n)
