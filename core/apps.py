"""App builder requests: a component, a whole app, a review of code.

Place in the path: parsed once by the gateway (step 1); the builder receives the same types. They
check shape, counts and sizes; what a description means is the builder's to find out.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from core.chat import BYTES_PER_TOKEN
from core.model import ModelCard
from core.work import WorkUnits

MAX_DESCRIPTION = 4_000
MAX_REVIEW_FILES = 100
MAX_REVIEW_BYTES = 2**20
MAX_SOURCE = 128 * 2**10
"""Characters of one file to review: what is nested without end takes the square of its length."""
MAX_PATH = 200
MOST_FILES_OF_COMPONENT = 12
MOST_FILES_OF_APP = 100
MODEL_TURNS = 4
"""Times that a chat model is asked at most: for a plan, for files, and once more for each."""
TURN_BYTES = 40_000
"""The most that we say around a description in one turn: schema, an earlier answer, its faults."""

Framework = Literal["react", "vue"]
Dialect = Literal["postgresql", "sqlite", "mysql"]


def _printable(text: str) -> str:
    if any(c < " " and c not in "\n\t\r" for c in text) or "\x7f" in text:
        raise ValueError("must not contain control characters")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Description = Annotated[
    str, Field(min_length=3, max_length=MAX_DESCRIPTION), AfterValidator(_printable)
]


class ComponentRequest(BaseModel):
    """POST /v1/apps/components."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    description: Description
    framework: Framework = "react"
    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{1,39}$")] | None = None
    """What the component is called, in Pascal case; made of the description when not given."""


class AppRequest(BaseModel):
    """POST /v1/apps."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    description: Description
    framework: Framework = "react"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 -]{0,59}$")] | None = None
    """What the app is called; made of the description when not given."""
    database: Dialect = "postgresql"
    """Dialect of `database/schema.sql`."""


class SourceFile(BaseModel):
    """One file to review. Its language is told by the end of its path."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(min_length=1, max_length=MAX_PATH, pattern=r"^[^\x00-\x1f\x7f]+$")
    content: str = Field(max_length=MAX_SOURCE)


class ReviewRequest(BaseModel):
    """POST /v1/apps/reviews."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    files: list[SourceFile] = Field(min_length=1, max_length=MAX_REVIEW_FILES)

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        seen: set[str] = set()
        for file in self.files:
            if file.path in seen:
                raise ValueError(f"'files' has '{file.path}' twice")
            seen.add(file.path)
        if self.size > MAX_REVIEW_BYTES:
            raise ValueError(f"'files' have {self.size:,} bytes, over {MAX_REVIEW_BYTES:,}")
        return self

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(file.content.encode("utf-8", "surrogatepass")) for file in self.files)


def estimate_component(request: ComponentRequest, card: ModelCard) -> WorkUnits:
    """A row for each file, and what the turns of a chat model may take, where the card has one."""
    return _most(MOST_FILES_OF_COMPONENT, len(request.description.encode()), MODEL_TURNS, card)


def estimate_app(request: AppRequest, card: ModelCard) -> WorkUnits:
    """As `estimate_component`, for more files."""
    return _most(MOST_FILES_OF_APP, len(request.description.encode()), MODEL_TURNS, card)


def estimate_review(request: ReviewRequest, card: ModelCard) -> WorkUnits:
    """A row for each file, and one turn of a chat model, where the card has one."""
    return _most(len(request.files), request.size, 1, card)


def _most(files: int, size: int, turns: int, card: ModelCard) -> WorkUnits:
    """A card without `max_output_tokens` is of a builder that asks no model."""
    if card.max_output_tokens is None:
        return WorkUnits(rows=files)
    prompt = (size + TURN_BYTES) // BYTES_PER_TOKEN
    if card.context_window is not None:
        prompt = min(prompt, card.context_window)
    return WorkUnits(
        rows=files,
        input_tokens=prompt * turns,
        output_tokens=card.max_output_tokens * turns,
    )
