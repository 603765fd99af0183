"""Embedding requests, as OpenAI's `/v1/embeddings` defines them.

Place in the path: parsed once by the gateway (step 1); embedding models receive the same type.
It checks shape and counts; the model checks lengths in its own tokens.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.model import ModelCard
from core.work import WorkUnits

MAX_INPUTS = 2048
BYTES_PER_TOKEN = 1
"""Fewest: a mark is a token of its own, and so may a digit be."""
SPECIAL_TOKENS = 4
"""Most that a tokenizer puts around a text."""


class EmbeddingRequest(BaseModel):
    """POST /v1/embeddings. `input` is one text, many, one token list, or many."""

    model_config = ConfigDict(extra="forbid")

    input: str | list[str] | list[int] | list[list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    """vLLM's extension: keep at most so many tokens of each input; -1 is the model's maximum."""

    @field_validator("input")
    @classmethod
    def _inputs_are_usable(cls, value: Any) -> Any:
        if not value:
            raise ValueError("must not be empty")
        if isinstance(value, list) and not isinstance(value[0], int):
            if len(value) > MAX_INPUTS:
                raise ValueError(f"at most {MAX_INPUTS} inputs in one request, got {len(value)}")
            if not all(value):
                raise ValueError("an input must not be empty")
        return value

    def texts_or_tokens(self) -> list[str] | list[list[int]]:
        """The inputs as a list, one entry per embedding to make."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [self.input]
        return self.input


def estimate_embedding(request: EmbeddingRequest, card: ModelCard) -> WorkUnits:
    """Upper bound of input tokens, each input at most the model's window."""
    window = card.context_window or 2**31
    return WorkUnits(
        input_tokens=sum(min(window, _length(item)) for item in request.texts_or_tokens())
    )


def _length(item: str | list[int]) -> int:
    size = len(item) if isinstance(item, list) else len(item.encode()) // BYTES_PER_TOKEN
    return size + SPECIAL_TOKENS
