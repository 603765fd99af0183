"""Chat and completion requests, as every chat model here takes them.

Place in the path: parsed once by the gateway (step 1); models receive the same types. The field
set is OpenAI's (chat/completions and completions, 2026) plus the sampling extensions that vLLM
documents. It checks shape and size-relevant values only; the engine judges the rest.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from core.model import ModelCard
from core.work import WorkUnits

BYTES_PER_TOKEN = 1
"""Fewest bytes of a token: digits are tokens of their own, and byte-level tokenizers take what they
do not know byte by byte. Estimates must not be too low."""
TOKENS_PER_MESSAGE = 8
"""Role and end of a turn in chat templates."""
TOKENS_PER_PART = 2
"""Around each part of a message."""
TEMPLATE_TOKENS = 64
"""Chat templates' own first words (a default system prompt, the date) and the answer's start."""
TOOLS_TOKENS = 256
"""Chat templates' own words about tools."""
TOKENS_PER_TOOL = 16
"""Fields that nobody set, which some templates print."""
JSON_GROWTH = 2
"""Most that compact JSON grows by when a template prints it with spaces."""
UNTOLD = frozenset({"type", "image_url"})
"""Fields of a part that no template prints: pictures are counted by their size."""
DEFAULT_OUTPUT_TOKENS = 512
MAX_CHOICES = 2048
"""Completions of one request: its prompts times `n`."""


def _refuse(value: Any) -> None:
    if value is not None:
        raise ValueError("not supported here")


Unsupported = Annotated[None, BeforeValidator(_refuse)]
"""A field that is known, and may only be null."""


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
    top_p: float | None = Field(None, ge=0, le=1)
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
    prediction: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None

    # What `tools` and `tool_choice` replaced.
    functions: list[dict[str, Any]] | None = Field(None, min_length=1)
    function_call: str | dict[str, Any] | None = None

    # To ignore them would be to answer something else than was asked for.
    audio: Unsupported = None
    moderation: Unsupported = None
    web_search_options: Unsupported = None

    @model_validator(mode="after")
    def _functions_are_tools(self) -> "ChatRequest":
        if self.functions and self.tools:
            raise ValueError("'functions' and 'tools' are the same: send 'tools' alone")
        if self.function_call is not None and not self.functions:
            raise ValueError("'function_call' is only allowed with 'functions'")
        return self

    @property
    def choices(self) -> int:
        """Answers to produce."""
        return self.n or 1

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
        if len(_prompts(prompt)) > MAX_CHOICES:
            raise ValueError(f"at most {MAX_CHOICES} prompts in one request, got {len(prompt)}")
        return prompt

    @model_validator(mode="after")
    def _choices_are_countable(self) -> "CompletionRequest":
        if self.choices > MAX_CHOICES:
            raise ValueError(f"'n' times prompts must be at most {MAX_CHOICES}")
        return self

    @property
    def choices(self) -> int:
        """Answers to produce, over all prompts."""
        return (self.n or 1) * len(_prompts(self.prompt))

    @property
    def output_limit(self) -> int | None:
        return self.max_tokens


def estimate_chat(request: ChatRequest, card: ModelCard) -> WorkUnits:
    """Upper bound in tokens: what chat templates print of it, by its bytes, and the output limit.

    Pictures are not in it: see `core.vision.estimate_vision_chat`.
    """
    words = sum(_message_tokens(message) for message in request.messages) + TEMPLATE_TOKENS
    tools = request.tools or request.functions or ()
    words += sum(_json_tokens(tool) + TOKENS_PER_TOOL for tool in tools)
    words += TOOLS_TOKENS if tools else 0
    words += _json_tokens(request.chat_template_kwargs) if request.chat_template_kwargs else 0
    return _bounded([words], request, card)


def estimate_completion(request: CompletionRequest, card: ModelCard) -> WorkUnits:
    """As `estimate_chat`, for one or many prompts of text or token ids."""
    beside = _text_tokens(request.suffix or "")
    sizes = [_prompt_tokens(prompt) + beside for prompt in _prompts(request.prompt)]
    return _bounded(sizes, request, card)


def _bounded(
    prompts: list[int], request: ChatRequest | CompletionRequest, card: ModelCard
) -> WorkUnits:
    window = card.context_window or max(prompts) + 10_000_000
    output = request.output_limit or card.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    return WorkUnits(
        input_tokens=sum(min(prompt, window) for prompt in prompts),
        output_tokens=min(output, window) * request.choices,
    )


def _prompts(prompt: str | list[str] | list[int] | list[list[int]]) -> list[Any]:
    if isinstance(prompt, list) and not isinstance(prompt[0], int):
        return prompt
    return [prompt]


def _prompt_tokens(prompt: str | list[int]) -> int:
    """Token ids are what they are; a text may get a first token of its own."""
    return len(prompt) if isinstance(prompt, list) else _text_tokens(prompt) + 1


def _message_tokens(message: Message) -> int:
    if isinstance(message.content, str):
        size = _text_tokens(message.content)
    else:
        size = sum(_part_tokens(part) + TOKENS_PER_PART for part in message.content or ())
    extra = message.model_extra
    return size + TOKENS_PER_MESSAGE + (_json_tokens(extra) if extra else 0)


def _part_tokens(part: dict[str, Any]) -> int:
    """Whatever it holds but a picture: engines differ in which of its fields they read."""
    return sum(_text_tokens(str(part[name])) for name in part if name not in UNTOLD)


def _json_tokens(value: Any) -> int:
    return JSON_GROWTH * _text_tokens(json.dumps(value, ensure_ascii=False, default=str))


def _text_tokens(text: str) -> int:
    return len(text.encode()) // BYTES_PER_TOKEN


def _refuse_remote_media(part: dict[str, Any]) -> None:
    """Engines never fetch (CVE-2025-6242 is what that costs): the gateway has made `data:` URLs."""
    for key in ("image_url", "video_url", "audio_url"):
        media = part.get(key)
        url = media.get("url") if isinstance(media, dict) else media
        if url is not None and not str(url).startswith("data:"):
            raise ValueError(f"'{key}' must be a data: URL; remote media are not fetched")
