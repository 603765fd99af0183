"""Video requests, as OpenAI's `/v1/videos` defines them, and what video models add.

Place in the path: parsed once by the gateway (step 1); video models receive the same types. What a
model can draw stands on its card, so that a request which it would refuse is refused before a
sleeping model is woken. It draws nothing.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from core.errors import InvalidRequest
from core.model import Frozen, ModelCard
from core.pictures import PictureField
from core.work import WorkUnits

MAX_SIDE = 4096
MAX_STEPS = 100
LONGEST_PROMPT = 32_000
USUAL_SECONDS = 4.0
"""OpenAI's default; less where the model's longest video is shorter."""
MS_PER_S = 1000
SIZE = re.compile(r"([1-9]\d{1,3})x([1-9]\d{1,3})")

Move = Literal[
    "pan_left",
    "pan_right",
    "tilt_up",
    "tilt_down",
    "zoom_in",
    "zoom_out",
    "orbit_left",
    "orbit_right",
]
MOVES: tuple[str, ...] = get_args(Move)
OTHER_NAMES = {"pan_up": "tilt_up", "pan_down": "tilt_down"}
MAX_MOVES = 3
Codec = Literal["h264", "av1"]
Size = Annotated[str, StringConstraints(pattern=SIZE.pattern)]


def _plain(value: str) -> str:
    """A text that PostgreSQL can keep."""
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return value


Prompt = Annotated[str, Field(max_length=LONGEST_PROMPT), AfterValidator(_plain)]


def _moves(value: Any) -> Any:
    """One move is a list of one; some have a second name."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        return names
    return [OTHER_NAMES.get(name, name) if isinstance(name, str) else name for name in names]


class VideoLimits(Frozen):
    """What a video model can draw: `limits` of its card, and of its engine."""

    sizes: tuple[Size, ...] = Field(min_length=1)
    """`WIDTHxHEIGHT` in pixels, sides even; the first is drawn when a request names none."""
    fps: tuple[Annotated[int, Field(ge=1, le=120)], ...] = Field(min_length=1)
    max_frames: int = Field(ge=1)
    """Most frames of one video: with the frames per second, how long it may be."""
    reference: Literal["optional", "required", "none"] = "optional"
    """Whether a video begins with a picture that the caller sends."""
    camera: Literal["frames", "prompt", "none"] = "frames"
    """How moves of the camera are made: with the drawn frames, in words to the model, or not."""

    @field_validator("sizes")
    @classmethod
    def _sides_are_even(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for size in value:
            if any(side % 2 or side > MAX_SIDE for side in sides(size)):
                raise ValueError(f"{size}: sides must be even, at most {MAX_SIDE} pixels")
        return value

    @classmethod
    def of(cls, card: ModelCard) -> "VideoLimits":
        """Those of a card; the catalog has checked them."""
        return cls.model_validate(card.limits)

    def longest_s(self, fps: int) -> float:
        """Seconds of the longest video with so many frames per second."""
        return self.max_frames / fps


class VideoRequest(BaseModel):
    """POST /v1/videos. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64")

    prompt: Prompt = Field(min_length=1)
    model: str | None = None
    size: Size | None = None
    """`WIDTHxHEIGHT`: one of the model's."""
    seconds: float | None = Field(None, gt=0, le=3600, allow_inf_nan=False)
    input_reference: PictureField | None = None
    """The first frame."""

    fps: int | None = Field(None, ge=1)
    """Frames per second, one of the model's; the most that fit when not given."""
    camera: Annotated[tuple[Move, ...], BeforeValidator(_moves)] = Field((), max_length=MAX_MOVES)
    """Moves of the camera, one or several together."""
    camera_strength: float = Field(0.5, gt=0, le=1)
    """How far the camera moves."""
    negative_prompt: Prompt = ""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """Repeats a video."""
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance: float | None = Field(None, ge=0, le=30)
    """How strictly to follow the prompt; at 1 and below the negative prompt has no effect."""
    codec: Codec = "h264"

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any, info: Any) -> Any:
        # OpenAI's clients send null for "whatever you do by default".
        field = cls.model_fields[info.field_name]
        return field.get_default() if value is None and not field.is_required() else value

    @field_validator("camera")
    @classmethod
    def _moves_go_together(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        axes = [move.partition("_")[0] for move in value]
        if len(set(axes)) < len(axes):
            raise ValueError("name each of pan, tilt, zoom and orbit at most once")
        return value


class AnimationRequest(VideoRequest):
    """The same as the model takes it: whole, or as a stream that tells its progress."""

    stream: bool = False


class Shot(NamedTuple):
    """The outer form of a video: what is delivered."""

    width: int
    height: int
    fps: int
    frames: int

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def seconds(self) -> float:
        return self.frames / self.fps

    @property
    def units(self) -> WorkUnits:
        """What all of it costs."""
        milliseconds = round(self.seconds * MS_PER_S)
        return WorkUnits(video_pixel_ms=self.width * self.height * milliseconds)


def sides(size: str) -> tuple[int, int]:
    """(width, height) of `WIDTHxHEIGHT`."""
    width, _, height = size.partition("x")
    return int(width), int(height)


def shot_of(request: VideoRequest, limits: VideoLimits) -> Shot:
    """What `request` asks for, of a model with `limits`.

    Raises InvalidRequest that says what is possible.
    """
    size = request.size or limits.sizes[0]
    if size not in limits.sizes:
        raise _not_among("size", size, limits.sizes)
    _check_reference(request, limits)
    if request.camera and limits.camera == "none":
        raise InvalidRequest("this model takes no moves of the camera", "camera")
    fps = _fps(request, limits)
    seconds = request.seconds or min(USUAL_SECONDS, limits.longest_s(fps))
    frames = max(1, round(seconds * fps))
    if frames > limits.max_frames:
        raise _too_long(request, limits)
    return Shot(*sides(size), fps, frames)


def _fps(request: VideoRequest, limits: VideoLimits) -> int:
    """The one asked for, else the highest that the length leaves room for."""
    if request.fps is not None:
        if request.fps not in limits.fps:
            raise _not_among("fps", request.fps, limits.fps)
        return request.fps
    slowest = min(limits.fps)
    seconds = request.seconds or min(USUAL_SECONDS, limits.longest_s(slowest))
    fitting = [fps for fps in limits.fps if round(seconds * fps) <= limits.max_frames]
    return max(fitting, default=slowest)


def _check_reference(request: VideoRequest, limits: VideoLimits) -> None:
    if limits.reference == "required" and request.input_reference is None:
        raise InvalidRequest("this model needs a picture to begin with", "input_reference")
    if limits.reference == "none" and request.input_reference is not None:
        raise InvalidRequest("this model takes no picture to begin with", "input_reference")


def _too_long(request: VideoRequest, limits: VideoLimits) -> InvalidRequest:
    speeds = sorted(limits.fps) if request.fps is None else [request.fps]
    longest = ", ".join(f"{limits.longest_s(fps):g} s at {fps} fps" for fps in speeds)
    return InvalidRequest(f"this model draws videos of at most {longest}", "seconds")


def _not_among(param: str, asked: str | int, there: Iterable[str | int]) -> InvalidRequest:
    known = ", ".join(str(each) for each in there)
    return InvalidRequest(f"'{param}' cannot be {asked}; this model has: {known}", param)


def estimate_video(request: AnimationRequest, card: ModelCard) -> WorkUnits:
    """Upper bound: every pixel of what was asked, for as long as it is shown.

    Raises InvalidRequest when the model cannot draw it.
    """
    return shot_of(request, VideoLimits.of(card)).units


def described(limits: VideoLimits) -> Mapping[str, Any]:
    """What a model can draw, for callers."""
    return {
        "sizes": list(limits.sizes),
        "default_size": limits.sizes[0],
        "fps": list(limits.fps),
        "max_frames": limits.max_frames,
        "max_seconds": {str(fps): round(limits.longest_s(fps), 3) for fps in limits.fps},
        "input_reference": limits.reference,
        "camera": [] if limits.camera == "none" else list(MOVES),
    }
