"""starter-chat as it is served: held-out requests for JSON and for tools, with their grammars."""

import asyncio
import json

import pytest

from models.starter_chat import corpus
from models.starter_chat.conversation import CALL_TOKENS, Conversation

SEED = 2026
"""Of the held-out requests, as in the model's card."""
PLAIN = ("user", "system")


def schema_of(value: object) -> dict:
    """The JSON schema of a plain value."""
    if isinstance(value, dict):
        fields = {name: schema_of(each) for name, each in value.items()}
        return {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }
    if isinstance(value, list):
        length = len(value)
        items = {"type": "string"}
        return {"type": "array", "items": items, "minItems": length, "maxItems": length}
    return {"type": "integer" if isinstance(value, int) else "string"}


def asked(conversation: Conversation) -> list[dict]:
    return [{"role": m.role, "content": m.text} for m in conversation.messages[:-1]]


def records() -> list[tuple[list[dict], dict]]:
    """Held-out requests for JSON, and what they should give."""
    return [
        (asked(conversation), json.loads(conversation.answer))
        for conversation in corpus.held_out(SEED, "json", 70)
        if conversation.answer.startswith("{")
    ]


def calls() -> list[tuple[Conversation, dict]]:
    """Held-out requests that one tool call answers."""
    found = []
    begin, end = CALL_TOKENS
    for conversation in corpus.held_out(SEED, "tool call", 120):
        plain = all(message.role in PLAIN for message in conversation.messages[:-1])
        if plain and conversation.answer.count(begin) == 1:
            text = conversation.answer.partition(begin)[2].partition(end)[0]
            found.append((conversation, json.loads(text)))
    return found


@pytest.mark.timeout(180)
async def test_held_out_requests_for_json_fill_their_schema(pro, figure):
    client = pro.openai()

    async def given(messages, wanted):
        schema = {"name": "record", "schema": schema_of(wanted), "strict": True}
        answer = await client.chat.completions.create(
            model="starter-chat",
            messages=messages,
            max_tokens=120,
            response_format={"type": "json_schema", "json_schema": schema},
        )
        return json.loads(answer.choices[0].message.content)

    wanted = records()
    answers = await asyncio.gather(*(given(*each) for each in wanted))
    for answer, (_, record) in zip(answers, wanted, strict=True):
        assert [type(each) for each in answer.values()] == [type(each) for each in record.values()]
        assert list(answer) == list(record)
    right = sum(answer == record for answer, (_, record) in zip(answers, wanted, strict=True))
    figure(f"starter-chat: records exact, of {len(wanted)}", right, "")
    assert right / len(wanted) >= 0.8, f"{right} of {len(wanted)}"


@pytest.mark.timeout(180)
async def test_held_out_requests_call_their_tool(pro, figure):
    client = pro.openai()

    async def called(conversation):
        answer = await client.chat.completions.create(
            model="starter-chat",
            messages=asked(conversation),
            tools=[tool.openai() for tool in conversation.tools],
            max_tokens=120,
        )
        (call,) = answer.choices[0].message.tool_calls or (None,)
        return call

    wanted = calls()
    found = await asyncio.gather(*(called(conversation) for conversation, _ in wanted))
    right = named = 0
    for call, (_, use) in zip(found, wanted, strict=True):
        if call is None or call.function.name != use["name"]:
            continue
        named += 1
        right += json.loads(call.function.arguments) == use["arguments"]
    figure(f"starter-chat: tools named, of {len(wanted)}", named, "")
    figure(f"starter-chat: calls exact, of {len(wanted)}", right, "")
    assert named / len(wanted) >= 0.85, f"{named} of {len(wanted)}"
    assert right / len(wanted) >= 0.8, f"{right} of {len(wanted)}"
