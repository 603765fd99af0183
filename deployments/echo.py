"""Echo: answers a chat with its own last message, word by word. No weights.

Place in the path: step 4. It shows the whole model contract in one file, and is what the
gateway benchmark calls, because its own cost is close to nothing. It does not think.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import orjson
from pydantic import Field

from core.chat import ChatRequest, estimate_chat
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.work import WorkUnits


class EchoSettings(Frozen):
    """`engine` settings of an echo model."""

    model: str = "echo"
    """Name that answers carry."""
    word_ms: float = Field(default=0.0, ge=0.0)
    """How long each word takes; 0 for no time at all."""


class Echo:
    """Repeats. One word is one token, here."""

    def __init__(self, settings: EchoSettings) -> None:
        self.settings = settings

    async def chat(self, request: ChatRequest, call: CallContext) -> Reply:
        """The last message, whole, as an OpenAI chat completion."""
        words = self._words(request, call)
        if self.settings.word_ms:
            await asyncio.sleep(len(words) * self.settings.word_ms / 1000)
        units = _units(request, len(words))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": " ".join(words)},
            "logprobs": None,
            "finish_reason": "stop",
        }
        body = self._envelope(call, "chat.completion") | {
            "choices": [choice],
            "usage": _usage(units),
        }
        return Reply(orjson.dumps(body), units)

    async def chat_stream(self, request: ChatRequest, call: CallContext) -> AsyncIterator[Chunk]:
        """The last message, one word a chunk, as OpenAI chat completion chunks."""
        words = self._words(request, call)
        envelope = self._envelope(call, "chat.completion.chunk")
        wants_usage = bool(request.stream_options and request.stream_options.include_usage)
        units = _units(request, 0)
        for count, word in enumerate(words, start=1):
            if self.settings.word_ms:
                await asyncio.sleep(self.settings.word_ms / 1000)
            call.done = units = WorkUnits(units.input_tokens, output_tokens=count)
            text = word if count == 1 else " " + word
            delta = {"role": "assistant", "content": text} if count == 1 else {"content": text}
            yield Chunk(_event(envelope, delta, None, wants_usage=wants_usage), units)
        yield Chunk(_event(envelope, {}, "stop", wants_usage=wants_usage), units)
        if wants_usage:
            yield Chunk(_sse(envelope | {"choices": [], "usage": _usage(units)}), units)
        yield Chunk(b"data: [DONE]\n\n", units)

    def _words(self, request: ChatRequest, call: CallContext) -> list[str]:
        """As many words of the last message as limit and reservation let through."""
        limit = request.output_limit or call.reserved.output_tokens or None
        return _text(request).split()[:limit]

    def _envelope(self, call: CallContext, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-{call.request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": self.settings.model,
        }


def _text(request: ChatRequest) -> str:
    content = request.messages[-1].content or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content)


def _units(request: ChatRequest, output: int) -> WorkUnits:
    return WorkUnits(input_tokens=len(_text(request).split()), output_tokens=output)


def _usage(units: WorkUnits) -> dict[str, object]:
    return {
        "prompt_tokens": units.input_tokens,
        "completion_tokens": units.output_tokens,
        "total_tokens": units.tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _event(
    envelope: dict[str, object], delta: dict[str, str], finish: str | None, *, wants_usage: bool
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    usage = {"usage": None} if wants_usage else {}
    return _sse(envelope | {"choices": [choice]} | usage)


def _sse(event: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


SPEC = ModelSpec(
    family="chat",
    model=Echo,
    settings=EchoSettings,
    operations={
        "chat": Operation(
            method="chat",
            stream_method="chat_stream",
            request=ChatRequest,
            estimate=estimate_chat,
        )
    },
    options={"max_ongoing_requests": 256, "max_queued_requests": 1024},
)
