"""Chat through the official SDK: what a developer sees on the first day."""

import json
import os

import openai
import psutil
import pytest

from core.cores import engine_core

SQL = "Get all users created in last 30 days"


def messages(text):
    return [{"role": "user", "content": text}]


async def test_a_question_becomes_sql(pro):
    async with pro.openai() as client:
        completion = await client.chat.completions.create(
            model="starter-chat", messages=messages(SQL)
        )
    text = completion.choices[0].message.content
    assert "SELECT" in text
    assert "users" in text
    assert "30" in text
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == (
        completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


@pytest.mark.skipif(engine_core() is None, reason="enough cores, or one alone")
def test_where_cores_are_few_the_engine_has_one_and_its_server_and_housekeeping_the_others(cluster):
    core, mine = engine_core(), os.sched_getaffinity(0)
    replica = psutil.Process(cluster.processes("starter-chat")[0])
    (engine,) = (each for each in replica.children() if "EngineCore" in each.name())
    held = {os.sched_getaffinity(thread.id) == {core} for thread in engine.threads()}
    assert held == {True}
    assert {core} & set().union(*(os.sched_getaffinity(t.id) for t in replica.threads())) == set()
    assert os.sched_getaffinity(cluster.processes("ledger")[0]) == mine - {core}
    assert os.sched_getaffinity(cluster.processes("gateway")[0]) == mine, "needs no engine"


async def test_a_stream_says_the_same_as_the_whole_answer_in_openais_order(pro):
    async with pro.openai() as client:
        whole = await client.chat.completions.create(
            model="starter-chat", messages=messages(SQL), temperature=0
        )
        stream = await client.chat.completions.create(
            model="starter-chat",
            messages=messages(SQL),
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    *with_choices, last = chunks
    text = "".join(c.choices[0].delta.content or "" for c in with_choices)
    assert text == whole.choices[0].message.content
    assert with_choices[0].choices[0].delta.role == "assistant"
    assert with_choices[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in with_choices)
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert len({(c.id, c.created, c.model) for c in chunks}) == 1


async def test_the_ledger_bills_what_usage_said_streamed_or_not(pro):
    async with pro.openai() as client:
        whole = await client.chat.completions.create(
            model="starter-chat", messages=messages("Count all orders")
        )
        stream = await client.chat.completions.create(
            model="starter-chat",
            messages=messages("Count all products"),
            stream=True,
            stream_options={"include_usage": True},
        )
        streamed = [chunk async for chunk in stream][-1].usage
    rows = await settled(pro, 2)
    assert [(row["input_tokens"], row["output_tokens"]) for row in rows] == [
        (usage.prompt_tokens, usage.completion_tokens) for usage in (whole.usage, streamed)
    ]
    assert all(row["exact"] for row in rows)
    assert rows[1]["streamed"]
    assert rows[1]["ttft_ms"] is not None


async def settled(person, count):
    """The tenant's rows, once the ledger has written so many."""
    import asyncio

    for _ in range(100):
        rows = await person.usage_rows()
        if sum(row["status"] != "admitted" for row in rows) >= count:
            return rows
        await asyncio.sleep(0.1)
    raise AssertionError(f"expected {count} settled rows, got {rows}")


async def test_a_json_schema_is_followed(pro):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    async with pro.openai() as client:
        completion = await client.chat.completions.create(
            model="starter-chat",
            messages=messages("Anna is 34 years old. Extract name and age as JSON."),
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": schema, "strict": True},
            },
            max_tokens=100,
        )
    person = json.loads(completion.choices[0].message.content)
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


async def test_a_tool_is_called_with_arguments_of_its_schema(pro):
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}},
                "required": ["city"],
            },
        },
    }
    async with pro.openai() as client:
        completion = await client.chat.completions.create(
            model="starter-chat",
            messages=messages("What is the weather in Paris?"),
            tools=[tool],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            max_tokens=100,
        )
    (call,) = completion.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


async def test_choices_seeds_stops_and_log_probabilities(pro):
    async with pro.openai() as client:
        several = await client.chat.completions.create(
            model="starter-chat", messages=messages("hello"), n=3, temperature=1.0, seed=1
        )
        stopped = await client.chat.completions.create(
            model="starter-chat", messages=messages(SQL), stop=["FROM"]
        )
        scored = await client.chat.completions.create(
            model="starter-chat",
            messages=messages(SQL),
            logprobs=True,
            top_logprobs=2,
            max_tokens=4,
        )
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert "FROM" not in stopped.choices[0].message.content
    content = scored.choices[0].logprobs.content
    assert len(content) == scored.usage.completion_tokens == 4
    assert all(len(token.top_logprobs) == 2 for token in content)


async def test_a_plain_completion_and_its_token_prompt(pro):
    async with pro.openai() as client:
        text = await client.completions.create(
            model="starter-chat", prompt="SELECT", max_tokens=3, extra_body={"ignore_eos": True}
        )
        tokens = await client.completions.create(
            model="starter-chat", prompt=[5, 6, 7], max_tokens=2, extra_body={"ignore_eos": True}
        )
    assert text.usage.completion_tokens == 3
    assert (tokens.usage.prompt_tokens, tokens.usage.completion_tokens) == (3, 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_over_the_context_window_is_a_400_and_free(pro, stream):
    async with pro.openai() as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(
                model="starter-chat", messages=messages("word " * 3000), stream=stream
            )
    assert refusal.value.code == "context_length_exceeded"
    (row,) = await settled(pro, 1)
    assert (row["total_tokens"], row["status_code"]) == (0, 400)
    assert row["error_code"] == "context_length_exceeded"


async def test_a_request_without_a_maximum_stays_within_what_was_reserved(pro):
    async with pro.openai() as client:
        completion = await client.chat.completions.create(
            model="starter-chat", messages=messages("hello"), extra_body={"ignore_eos": True}
        )
    assert completion.usage.completion_tokens == 256
    assert completion.choices[0].finish_reason == "length"


async def test_bad_sampling_values_are_named(pro):
    async with pro.openai() as client:
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.chat.completions.create(
                model="starter-chat", messages=messages("x"), extra_body={"top_k": -7}
            )
    assert "top_k" in refusal.value.message


async def test_errors_are_the_sdks_own_types(pro):
    async with pro.openai(max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="gpt-9", messages=messages("x"))
        assert missing.value.code == "model_not_found"
        assert missing.value.request_id
        with pytest.raises(openai.BadRequestError) as unknown:
            await client.chat.completions.create(
                model="echo", messages=messages("x"), extra_body={"nonsense": 1}
            )
        assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "nonsense")
    async with pro.openai(max_retries=0).with_options(api_key="ck-wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
