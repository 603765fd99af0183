"""VLLM's answers as OpenAI sends them: usage that is what is billed, in wholes and in events.

Place in the path: step 4, used by `deployments.llm` on what vLLM's serving layer gives. Words,
tool calls and log probabilities pass untouched. It counts no tokens itself, but takes over vLLM's
own figure of those spent on reasoning: only its parser can tell them from the others.
"""

from typing import Any

import orjson

from core.chat import ChatRequest, CompletionRequest
from core.model import CallContext
from core.work import WorkUnits
from deployments.llm_errors import raise_if_failed
from deployments.llm_functions import event_as_functions
from deployments.llm_meter import Count

EVENT_END = b"}\n\n"
TOTALS = b'"choices":[],'
"""Only the event with the totals has no choices."""


class Events:
    """One stream.

    Args:
        request: says whether the caller wants the totals.
        call: whose `done` is what is billed.
        count: where it is counted.
    """

    def __init__(
        self, request: ChatRequest | CompletionRequest, call: CallContext, count: Count
    ) -> None:
        self._call = call
        self._count = count
        self._with_usage = wants_usage(request)
        self._functions = asked_with_functions(request)

    def as_asked(self, event: str) -> bytes | None:
        """An event as OpenAI sends it; None for totals that the caller did not ask for.

        With `include_usage`, usage is null in each event and the totals are in the last: vLLM
        leaves the null ones out. Raises what made the stream fail.
        """
        raise_if_failed(event, self._count.failure)
        data = event.encode()
        if self._functions:
            data = event_as_functions(data)
        if not data.endswith(EVENT_END):
            return data
        if TOTALS in data:
            return self._totals(data)
        if not self._with_usage or b'"usage":' in data:
            return data
        return data[:-3] + b',"usage":null' + EVENT_END

    def _totals(self, data: bytes) -> bytes | None:
        document = orjson.loads(data[len(b"data: ") :])
        self._count.note_reasoning(reasoned(document["usage"]))
        if not self._with_usage:
            return None
        document["usage"] = usage(self._call.done)
        return b"data: " + orjson.dumps(document) + b"\n\n"


def wants_usage(request: ChatRequest | CompletionRequest) -> bool:
    return bool(request.stream_options and request.stream_options.include_usage)


def asked_with_functions(request: ChatRequest | CompletionRequest) -> bool:
    return isinstance(request, ChatRequest) and bool(request.functions)


def usage(done: WorkUnits) -> dict[str, Any]:
    """OpenAI's usage object, from the engine's own count."""
    return {
        "prompt_tokens": done.input_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": done.reasoning_tokens},
    }


def reasoned(usage: dict[str, Any]) -> int:
    """Tokens of reasoning in vLLM's usage; 0 of models that have no reasoning parser."""
    details = usage.get("completion_tokens_details") or {}
    return int(details.get("reasoning_tokens") or 0)
