"""OpenAI's older `functions` in terms of `tools`, for engines that know only these.

Place in the path: step 4, used by `deployments.llm` before and after vLLM's serving layer. A
caller that sent `functions` reads `function_call`s. One call in one answer is all that this older
form can say. It checks nothing: what may go with what is `core.chat`'s.
"""

from typing import Any

import orjson

CALLS = b'"tool_calls"'
"""In every event that has something to rename."""


def as_tools(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a chat request, with functions and their calls as tools and theirs."""
    functions = fields.pop("functions", None)
    choice = fields.pop("function_call", None)
    fields["messages"] = _messages(fields["messages"])
    if functions:
        fields["tools"] = [{"type": "function", "function": each} for each in functions]
        fields["tool_choice"] = _choice(choice)
        fields["parallel_tool_calls"] = False
    return fields


def as_functions(body: dict[str, Any]) -> dict[str, Any]:
    """An answer, or an event of one, with its tool calls as function calls."""
    for choice in body["choices"]:
        said = choice.get("message") or choice.get("delta") or {}
        if calls := said.pop("tool_calls", None):
            said["function_call"] = _first(calls)
        if choice.get("finish_reason") == "tool_calls":
            choice["finish_reason"] = "function_call"
    return body


def _first(calls: list[dict[str, Any]]) -> dict[str, str]:
    """The first call. An event may have it in parts: its name, and some of its arguments."""
    whole: dict[str, str] = {}
    first = calls[0].get("index", 0)
    for place, call in enumerate(calls):
        if call.get("index", place) == first:
            for name, part in call["function"].items():
                if part is not None:
                    whole[name] = whole.get(name, "") + part
    return whole


def event_as_functions(event: bytes) -> bytes:
    """As `as_functions`, for one server-sent event."""
    if CALLS not in event:
        return event
    body = orjson.loads(event.removeprefix(b"data: "))
    return b"data: " + orjson.dumps(as_functions(body)) + b"\n\n"


def _choice(asked: str | dict[str, Any] | None) -> str | dict[str, Any]:
    if isinstance(asked, dict):
        return {"type": "function", "function": asked}
    return asked or "auto"


def _messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls get the ids that their results refer to: by their order, as each has one result."""
    found = []
    call_id = ""
    for number, message in enumerate(messages):
        turn = dict(message)
        call = turn.pop("function_call", None)
        if call is not None:
            call_id = f"call_{number}"
            turn["tool_calls"] = [{"id": call_id, "type": "function", "function": call}]
        if turn["role"] == "function":
            turn |= {"role": "tool", "tool_call_id": call_id}
        found.append(turn)
    return found
