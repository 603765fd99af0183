"""Chats with pictures: OpenAI's messages as a processor takes them, and its answers' envelopes.

Place in the path: step 4, used by `deployments.vision`. Pictures are decoded here, with limits;
what this engine cannot do is refused by name rather than ignored.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from core.chat import ChatRequest
from core.errors import InvalidRequest
from core.model import CallContext
from core.pictures import picture_bytes
from core.work import WorkUnits
from deployments.vision_rows import Sampling

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
NEUTRAL: dict[str, Any] = {
    "n": 1,
    "tools": None,
    "functions": None,
    "logprobs": None,
    "top_logprobs": None,
    "logit_bias": None,
    "frequency_penalty": None,
    "presence_penalty": None,
    "response_format": {"type": "text"},
    "structured_outputs": None,
    "min_tokens": None,
    "ignore_eos": None,
    "stop_token_ids": None,
    "include_stop_str_in_output": None,
    "length_penalty": 1.0,
    "truncate_prompt_tokens": None,
    "continue_final_message": None,
    "chat_template_kwargs": None,
}
"""Fields that this engine does not act on, each with a value that asks for nothing."""

Decode = Callable[[bytes, str], Any]
CheckText = Callable[[str, str], None]


def check_supported(request: ChatRequest) -> None:
    """Refuse what would otherwise be ignored. Raises InvalidRequest naming the field."""
    for name, neutral in NEUTRAL.items():
        value = getattr(request, name)
        if value and value != neutral:
            raise InvalidRequest(f"this model does not support '{name}'", name)


def sampling_of(request: ChatRequest, default_temperature: float) -> Sampling:
    """How this request wants its tokens chosen."""
    asked = request.temperature
    return Sampling(
        temperature=default_temperature if asked is None else asked,
        top_p=request.top_p,
        top_k=request.top_k if request.top_k and request.top_k > 0 else None,
        min_p=request.min_p or None,
        repetition_penalty=request.repetition_penalty,
        seed=request.seed,
    )


def stops_of(request: ChatRequest) -> tuple[str, ...]:
    """The strings that end the answer."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return tuple(stop for stop in stops if stop)


def conversation(request: ChatRequest, decode: Decode, check: CheckText) -> list[dict[str, Any]]:
    """Messages as a processor takes them: lists of texts and decoded pictures.

    Raises InvalidRequest naming the part at fault.
    """
    messages = []
    for index, message in enumerate(request.messages):
        where = f"messages.{index}"
        if message.role not in ROLES or (message.model_extra or {}).get("tool_calls"):
            raise InvalidRequest("this model does not use tools", f"{where}.role")
        parts = message.content or ""
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        content = [
            _part(part, f"{where}.content.{n}", decode, check) for n, part in enumerate(parts)
        ]
        messages.append({"role": ROLES[message.role], "content": content})
    return messages


def count_pictures(messages: list[dict[str, Any]]) -> int:
    return sum(part["type"] == "image" for message in messages for part in message["content"])


def _part(part: dict[str, Any], where: str, decode: Decode, check: CheckText) -> dict[str, Any]:
    text = part.get("text")
    if part.get("type") == "text" and isinstance(text, str):
        check(text, where)
        return {"type": "text", "text": text}
    if part.get("type") == "image_url" and "image_url" in part:
        where = f"{where}.image_url"
        try:
            data = picture_bytes(part["image_url"])
        except ValueError as error:
            raise InvalidRequest(f"Invalid value for '{where}': {error}", where) from error
        return {"type": "image", "image": decode(data, where)}
    raise InvalidRequest("a part must be a 'text' or an 'image_url'", where)


def completion(call: CallContext, model: str, text: str, finish: str, units: WorkUnits) -> bytes:
    """A whole chat completion."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish,
    }
    body = _envelope(call, model, "chat.completion")
    return orjson.dumps(body | {"choices": [choice], "usage": usage(units)})


class Events:
    """One streamed chat completion, as server-sent events of the same id."""

    def __init__(self, call: CallContext, model: str, *, wants_usage: bool) -> None:
        self._envelope = _envelope(call, model, "chat.completion.chunk")
        self._wants_usage = wants_usage

    def start(self) -> bytes:
        return self._event({"role": "assistant", "content": ""}, None)

    def delta(self, text: str) -> bytes:
        return self._event({"content": text}, None)

    def end(self, finish: str, units: WorkUnits) -> Iterator[bytes]:
        yield self._event({}, finish)
        if self._wants_usage:
            yield _sse(self._envelope | {"choices": [], "usage": usage(units)})
        yield b"data: [DONE]\n\n"

    def _event(self, delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        empty = {"usage": None} if self._wants_usage else {}
        return _sse(self._envelope | {"choices": [choice]} | empty)


def usage(units: WorkUnits) -> dict[str, Any]:
    """OpenAI's usage object of a chat."""
    return {
        "prompt_tokens": units.input_tokens,
        "completion_tokens": units.output_tokens,
        "total_tokens": units.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _envelope(call: CallContext, model: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{call.request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
