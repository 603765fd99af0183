"""Chat and completion requests, as every chat model here takes them.

Place in the path: parsed once by the gateway (step 1); models receive the same types. The field
set is OpenAI's (chat/completions and completions, 2026) plus the sampling extensions that vLLM
documents. It checks shape and size-relevant values only; the engine judges the rest.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from core.model import ModelCard
from core.work import WorkUnits

BYTES_PER_TOKEN = 2
"""Lower bound of bytes per token of the tokenizers served here: estimates must not be too low."""
TOKENS_PER_MESSAGE = 8
DEFAULT_OUTPUT_TOKENS = 512


class StreamOptions(BaseModel):
    """OpenAI's `stream_options`."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False
    include_obfuscation: bool | None = None
    continuous_usage_stats: bool | None = None


class Sampling(BaseModel):
    """What chat and plain completions share. Unknown fields are refused, as OpenAI does."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    n: int | None = Field(None, ge=1, le=128)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    user: str | None = None
    response_format: dict[str, Any] | None = None

    # vLLM's documented extensions, sent by many clients through `extra_body`.
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    stop_token_ids: list[int] | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1)
    structured_outputs: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise ValueError("'stream_options' is only allowed when 'stream' is true")
        return self


class Message(BaseModel):
    """One turn. The chat template and the engine know the rest of its fields."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None

    @field_validator("content")
    @classmethod
    def _media_comes_inline(cls, content: Any) -> Any:
        if isinstance(content, list):
            for part in content:
                _refuse_remote_media(part)
        return content


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, le=10_000_000)
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    # Accepted for compatibility; they steer OpenAI's platform, not the model.
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    verbosity: str | None = None
    modalities: list[Literal["text"]] | None = None

    @property
    def output_limit(self) -> int | None:
        """The caller's own maximum of output tokens per choice, under either name."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Sampling):
    """POST /v1/completions."""

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=1)

    @field_validator("prompt")
    @classmethod
    def _prompt_is_not_empty(cls, prompt: Any) -> Any:
        if not prompt:
            raise ValueError("must not be empty")
        return prompt

    @property
    def output_limit(self) -> int | None:
        return self.max_tokens


def estimate_chat(request: ChatRequest, card: ModelCard) -> WorkUnits:
    """Upper bound in tokens: bytes of text over bytes per token, and the output limit."""
    size = sum(_content_bytes(message) for message in request.messages)
    size += len(repr(request.tools)) if request.tools else 0
    prompt = size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(request.messages)
    return _bounded(prompt, 1, request, card)


def estimate_completion(request: CompletionRequest, card: ModelCard) -> WorkUnits:
    """As `estimate_chat`, for one or many prompts of text or token ids."""
    prompts = _prompts(request.prompt)
    prompt = sum(
        len(p) if isinstance(p, list) else len(p.encode()) // BYTES_PER_TOKEN + 1 for p in prompts
    )
    return _bounded(prompt, len(prompts), request, card)


def _bounded(
    prompt: int, prompts: int, request: ChatRequest | CompletionRequest, card: ModelCard
) -> WorkUnits:
    window = card.context_window or prompt + 10_000_000
    output = request.output_limit or card.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    return WorkUnits(
        input_tokens=min(prompt, window * prompts),
        output_tokens=min(output, window) * (request.n or 1) * prompts,
    )


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> list[Any]:
    if isinstance(prompt, list) and not isinstance(prompt[0], int):
        return prompt
    return [prompt]


def _content_bytes(message: Message) -> int:
    if isinstance(message.content, str):
        size = len(message.content.encode())
    else:
        size = sum(len(str(part.get("text", ""))) for part in message.content or ())
    return size + (len(repr(message.model_extra)) if message.model_extra else 0)


def _refuse_remote_media(part: dict[str, Any]) -> None:
    """Engines never fetch (CVE-2025-6242 is what that costs): the gateway has made `data:` URLs."""
    for key in ("image_url", "video_url", "audio_url"):
        media = part.get(key)
        url = media.get("url") if isinstance(media, dict) else media
        if url is not None and not str(url).startswith("data:"):
            raise ValueError(f"'{key}' must be a data: URL; remote media are not fetched")
