"""The stages of an image workflow: what each may be asked.

Place in the path: parts of `core.image_workflow`'s request, validated with it. A stage knows itself
alone; which of them fit together is the request's business.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from core.faults import refuse_at
from core.images import LONGEST_PROMPT, MAX_STEPS, Name, Upload, side_limits
from core.styles import styles
from core.vision import MAX_QUESTION

MAX_ROUNDS = 4
MAX_FACTOR = 4.0
MAX_WORST = 16
DESCRIPTION_TOKENS = 64

Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


def _known_size(value: str) -> str:
    if value != "auto":
        side_limits(value)
    return value


def _known_style(value: str) -> str:
    if value not in styles():
        raise ValueError("no such style; there are: " + ", ".join(styles()))
    return value


class Stage(BaseModel):
    """Base of the stages: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_bytes="base64")


class GenerateStage(Stage):
    """Drawing, in the words of `/v1/images`; what the model lacks, it refuses by name."""

    size: Annotated[str, AfterValidator(_known_size)] = "auto"
    """`auto`, or `WIDTHxHEIGHT` in pixels."""
    quality: Literal["low", "medium", "high", "auto"] = "auto"
    steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance: float | None = Field(None, ge=0, le=30)
    negative_prompt: str = Field("", max_length=LONGEST_PROMPT)
    style: Annotated[str, AfterValidator(_known_style)] | None = None
    lora: Name | None = None
    lora_scale: float = Field(1.0, ge=0, le=2)
    controlnet: Name | None = None
    control_image: Upload | None = None
    control_scale: float = Field(1.0, ge=0, le=2)
    strength: float | None = Field(None, gt=0, le=1)
    """How much to change a picture that the request brings."""

    @model_validator(mode="after")
    def _control_is_whole(self) -> Self:
        if (self.controlnet is None) != (self.control_image is None):
            refuse_at(("control_image",), "'controlnet' and 'control_image' belong together")
        return self

    @property
    def prompted(self) -> dict[str, Any]:
        """The fields that only a drawing with a prompt takes, where they are set."""
        names = {"negative_prompt", "style", "lora", "controlnet", "control_image"}
        names |= {"lora_scale"} if self.lora else set()
        names |= {"control_scale"} if self.controlnet else set()
        found = {name: getattr(self, name) for name in sorted(names)}
        return {name: value for name, value in found.items() if value not in (None, "")}


class DescribeStage(Stage):
    """What vision says of each picture, compared with the prompt."""

    question: str | None = Field(None, min_length=1, max_length=MAX_QUESTION)
    """Asked instead of a caption."""
    expect: list[Phrase] | None = Field(None, min_length=1, max_length=20)
    """What the words must contain, as "red circle"; without it, what the prompt says."""
    max_tokens: int = Field(DESCRIPTION_TOKENS, ge=1, le=1024)


class RefineStage(Stage):
    """The pictures that fit their prompt worst, drawn again; the better ones are kept."""

    rounds: int = Field(2, ge=1, le=MAX_ROUNDS)
    how: Literal["edit", "reseed"] = "edit"
    """`edit` changes the picture (image to image), `reseed` draws another one."""
    strength: float | None = Field(None, gt=0, le=1)
    """Of an edit; the model's own when not said."""
    target: float = Field(1.0, gt=0, le=1)
    """Score from which a picture is left alone."""
    worst: int = Field(4, ge=1, le=MAX_WORST)
    """Most pictures of a round."""


class UpscaleStage(Stage):
    """Larger pictures: resampled, or drawn larger by a model that the operator named for it."""

    factor: float = Field(2.0, gt=1, le=MAX_FACTOR)
    method: Literal["lanczos", "model"] = "lanczos"
    strength: float = Field(0.25, gt=0, le=1)
    """How much the model may change the enlarged picture."""

    def side(self, side: int) -> int:
        return round(side * self.factor)


def _switch(value: Any) -> Any:
    """`true` is a stage with its defaults, `false` none."""
    return {} if value is True else None if value is False else value


Generate = Annotated[GenerateStage | None, BeforeValidator(_switch)]
Describe = Annotated[DescribeStage | None, BeforeValidator(_switch)]
Refine = Annotated[RefineStage | None, BeforeValidator(_switch)]
Upscale = Annotated[UpscaleStage | None, BeforeValidator(_switch)]
