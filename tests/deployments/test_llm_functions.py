"""`functions`, as older clients send them, and what they read."""

import json

from deployments.llm_functions import as_functions, as_tools, event_as_functions

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


def test_functions_become_tools_and_earlier_calls_keep_their_results():
    call = {"name": "weather", "arguments": "{}"}
    fields = as_tools(
        {
            "functions": [WEATHER],
            "function_call": {"name": "weather"},
            "messages": [
                {"role": "user", "content": "Is it cold?"},
                {"role": "assistant", "content": None, "function_call": call},
                {"role": "function", "name": "weather", "content": "-3"},
            ],
        }
    )
    assert fields["tools"] == [{"type": "function", "function": WEATHER}]
    assert fields["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert fields["parallel_tool_calls"] is False
    _, asked, told = fields["messages"]
    assert asked["tool_calls"] == [{"id": "call_1", "type": "function", "function": call}]
    assert (told["role"], told["tool_call_id"]) == ("tool", "call_1")
    assert not {"functions", "function_call"} & set(fields)


def test_a_request_with_tools_stays_as_it_is():
    tools = [{"type": "function", "function": WEATHER}]
    fields = {"tools": tools, "messages": [{"role": "user", "content": "x"}]}
    assert as_tools(dict(fields)) == fields


def test_an_answer_says_function_call():
    call = {"id": "x", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = as_functions({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "weather", "arguments": "{}"},
    }


def test_events_say_function_call_and_other_events_pass():
    call = {"index": 0, "id": "x", "function": {"name": "weather", "arguments": ""}}
    body = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
    event = event_as_functions(b"data: " + json.dumps(body).encode() + b"\n\n")
    (choice,) = json.loads(event.removeprefix(b"data: "))["choices"]
    assert choice["delta"] == {"function_call": {"name": "weather", "arguments": ""}}
    plain = b'data: {"choices":[{"delta":{"content":"tool_calls"}}]}\n\n'
    assert event_as_functions(plain) == plain


def test_a_call_that_comes_in_parts_in_one_event_is_whole():
    parts = [
        {"index": 0, "id": "x", "function": {"name": "weather", "arguments": None}},
        {"index": 0, "function": {"name": None, "arguments": '{"city'}},
        {"index": 0, "function": {"arguments": '": "Paris"}'}},
        {"index": 1, "id": "y", "function": {"name": "weather", "arguments": "{}"}},
    ]
    body = {"choices": [{"index": 0, "delta": {"tool_calls": parts}, "finish_reason": None}]}
    event = event_as_functions(b"data: " + json.dumps(body).encode() + b"\n\n")
    (choice,) = json.loads(event.removeprefix(b"data: "))["choices"]
    assert choice["delta"]["function_call"] == {
        "name": "weather",
        "arguments": '{"city": "Paris"}',
    }
