"""Answers with citations: whole, or as the chat model writes them.

Place in the path: the last of the RAG graph's own steps. The chat model's answer becomes the
graph's, in OpenAI's words: its model name, what all steps took, and which sources it was given and
which of them it names. It changes no word of the answer.
"""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import orjson

from core.model import CallContext, Chunk
from core.work import WorkUnits
from graphs.rag.retrieval import Source

MENTION = re.compile(r"\[(\d{1,3})\]")
DONE = b"data: [DONE]\n\n"
LONGEST_QUOTE = 300
"""Characters of a passage in a citation; all of it is in the document, from `start` to `end`."""


def citations(sources: Sequence[Source], answer: str) -> list[dict[str, Any]]:
    """The sources that were put before the model, by number; `cited` where the answer names it."""
    named = {int(number) for number in MENTION.findall(answer)}
    return [
        {
            "number": number,
            "cited": number in named,
            **source.facts(),
            "quote": source.text[:LONGEST_QUOTE],
            "score": round(source.score, 6),
            "metadata": dict(source.metadata),
        }
        for number, source in enumerate(sources, 1)
    ]


def usage(units: WorkUnits) -> dict[str, Any]:
    """What all steps took, as OpenAI writes it: what is billed."""
    return {
        "prompt_tokens": units.input_tokens,
        "completion_tokens": units.output_tokens,
        "total_tokens": units.tokens,
        "prompt_tokens_details": {"cached_tokens": units.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": units.reasoning_tokens},
    }


def completion(
    body: bytes, sources: Sequence[Source], name: str, call: CallContext
) -> dict[str, Any]:
    """The chat model's completion as the graph's, with `citations`."""
    whole: dict[str, Any] = orjson.loads(body)
    return whole | {
        "id": f"chatcmpl-{call.request_id}",
        "model": name,
        "usage": usage(call.done),
        "citations": citations(sources, said(whole)),
    }


def said(whole: dict[str, Any]) -> str:
    """The words of a completion."""
    choices = whole.get("choices") or [{}]
    return choices[0].get("message", {}).get("content") or ""


async def stream(
    chunks: AsyncGenerator[Chunk, None],
    sources: Sequence[Source],
    name: str,
    call: CallContext,
    *,
    wants_usage: bool,
) -> AsyncGenerator[Chunk, None]:
    """The chat model's events as the graph's; the last that has a choice has the `citations` too.

    The units of each chunk are those of all steps so far.
    """
    events = _Events(name, call, wants_usage=wants_usage)
    async for chunk in chunks:
        if data := events.passed_on(chunk.data):
            yield Chunk(data, call.done)
    yield Chunk(events.end(sources), call.done)


class _Events:
    """Server-sent events of a chat model, rewritten one by one."""

    def __init__(self, name: str, call: CallContext, *, wants_usage: bool) -> None:
        self._own = {
            "id": f"chatcmpl-{call.request_id}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": name,
        }
        self._call = call
        self._wants_usage = wants_usage
        self._rest = b""
        self._said: list[str] = []
        self._last: dict[str, Any] | None = None

    def passed_on(self, data: bytes) -> bytes:
        """What of the model's events is the caller's already: all but the last."""
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        return b"".join(filter(None, map(self._event, whole)))

    def end(self, sources: Sequence[Source]) -> bytes:
        """The last choice with the citations, the usage if it was asked for, and the end."""
        last = self._last or self._choice({}, "stop")
        last |= {"citations": citations(sources, "".join(self._said))}
        ending = _sse(last)
        if self._wants_usage:
            ending += _sse(self._own | {"choices": [], "usage": usage(self._call.done)})
        return ending + DONE

    def _event(self, event: bytes) -> bytes | None:
        if not event.startswith(b"data: {"):
            return None
        document = orjson.loads(event.removeprefix(b"data: "))
        if not document.get("choices"):
            return None
        choice = document["choices"][0]
        self._said.append(choice.get("delta", {}).get("content") or "")
        ours = self._choice(choice.get("delta", {}), choice.get("finish_reason"), choice)
        if choice.get("finish_reason"):
            self._last = ours
            return None
        return _sse(ours)

    def _choice(
        self, delta: dict[str, Any], finish: str | None, rest: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        choice = {**(rest or {}), "index": 0, "delta": delta, "finish_reason": finish}
        unknown = {"usage": None} if self._wants_usage else {}
        return self._own | {"choices": [choice]} | unknown


def _sse(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
