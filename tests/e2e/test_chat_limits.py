"""Chat over HTTP: what an engine refuses in streams, older fields, and what is reserved."""

import openai
import pytest

from tests.e2e.test_chat import messages, settled

DIGITS = "8317 0264 9955 " * 40
TOOL = {
    "name": "get_weather",
    "description": "Weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_engine_refuses_is_a_400_streamed_or_not_and_is_not_remembered(pro, stream):
    async with pro.openai(max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(openai.BadRequestError) as refusal:
                await client.chat.completions.create(
                    model="starter-chat",
                    messages=messages("hello"),
                    logit_bias={"999999": 1},
                    stream=stream,
                )
            assert "hit" not in refusal.value.response.headers.get("x-cache", "").lower()
            assert refusal.value.code == "invalid_request"
    rows = await settled(pro, 2)
    assert [(row["status_code"], row["total_tokens"]) for row in rows] == [(400, 0)] * 2


async def test_a_prompt_of_digits_takes_no_more_than_was_reserved(pro):
    body = {"model": "starter-chat", "messages": messages(DIGITS), "max_tokens": 1}
    async with pro.http() as http:
        asked = {"endpoint": "/v1/chat/completions", "request": body}
        reserved = (await http.post("/v1/explain", json=asked)).json()
    async with pro.openai() as client:
        answer = await client.chat.completions.create(**body)
    assert answer.usage.prompt_tokens > 500
    assert answer.usage.prompt_tokens <= reserved["bound"]["input_tokens"]


async def test_several_prompts_share_what_was_reserved_for_them(pro):
    async with pro.openai() as client:
        answer = await client.completions.create(
            model="starter-chat", prompt=["a", "b"], extra_body={"ignore_eos": True}
        )
    assert answer.usage.completion_tokens == 2 * 256


@pytest.mark.parametrize("stream", [False, True])
async def test_functions_are_answered_with_a_function_call(pro, stream):
    async with pro.openai() as client:
        answer = await client.chat.completions.create(
            model="starter-chat",
            messages=messages("What is the weather in Paris?"),
            functions=[TOOL],
            function_call={"name": "get_weather"},
            max_tokens=60,
            stream=stream,
        )
        calls = (
            [chunk.choices[0].delta.function_call async for chunk in answer]
            if stream
            else [answer.choices[0].message.function_call]
        )
    found = [call for call in calls if call is not None]
    assert "".join(call.name or "" for call in found) == "get_weather"
    assert "".join(call.arguments or "" for call in found).startswith("{")
