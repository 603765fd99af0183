"""Language models: failures, limits and reasoning, as the gateway and callers see them."""

import json

import pytest

from core.chat import ChatRequest, CompletionRequest
from core.errors import CarillonError, InvalidRequest, ModelUnavailable
from core.model import CallContext, ModelCard
from core.work import WorkUnits
from deployments.llm import SPEC
from tests.fakes.engine import PROMPT, ScriptedEngine, llm

CARD = ModelCard(id="m", spec="x:SPEC", context_window=1000, max_output_tokens=100)


def chat(**fields) -> ChatRequest:
    return ChatRequest.model_validate({"messages": [{"role": "user", "content": "hi"}]} | fields)


async def events(chunks) -> list:
    """The events of a stream, parsed; `[DONE]` as it is."""
    text = "".join([chunk.data.decode() async for chunk in chunks])
    parts = [part.removeprefix("data: ") for part in text.split("\n\n") if part]
    return [part if part == "[DONE]" else json.loads(part) for part in parts]


def said(parts) -> str:
    return "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)


# --- failures ---------------------------------------------------------------------------------


async def test_what_the_engine_refuses_is_refused_before_a_stream_begins():
    from vllm.exceptions import VLLMValidationError

    error = VLLMValidationError("token 99999 is not in the vocabulary", parameter="logit_bias")
    model = llm(ScriptedEngine(error=error))
    request = chat(stream=True, logit_bias={"99999": 1})
    with pytest.raises(InvalidRequest, match="not in the vocabulary") as refusal:
        await anext(model.chat_stream(request, CallContext("r")))
    assert refusal.value.param == "logit_bias"


async def test_an_engine_that_dies_ends_its_streams_with_an_error_and_no_done():
    from vllm.v1.engine.exceptions import EngineDeadError

    model = llm(ScriptedEngine(["one ", "two"], EngineDeadError()))
    call, text = CallContext("r"), bytearray()

    async def read():
        async for chunk in model.chat_stream(chat(stream=True), call):
            text.extend(chunk.data)

    with pytest.raises(ModelUnavailable) as failure:
        await read()
    assert failure.value.retry_after_s == 10
    assert b"two" in text
    assert b"error" not in text
    assert b"[DONE]" not in text
    assert call.done == WorkUnits(input_tokens=len(PROMPT), output_tokens=2)


async def test_what_fails_in_the_serving_layer_fails_the_stream_too():
    class Parser:
        def __init__(self, *_, **__) -> None: ...

        def parse_delta(self, **_):
            raise RuntimeError("cannot parse this")

    model = llm(ScriptedEngine(["one"]), Parser)
    with pytest.raises(CarillonError) as failure:
        await events(model.chat_stream(chat(stream=True), CallContext("r")))
    assert failure.value.status_code == 500


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"prompt": ["a", "b", "c", "d"]}, {"prompt": "a", "n": 4}])
def test_each_completion_of_a_request_gets_its_share_of_the_reservation(fields):
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest as EngineRequest

    request = CompletionRequest.model_validate(fields)
    reserved = SPEC.operations["completion"].estimate(request, CARD)
    assert reserved.output_tokens == 400
    call = CallContext("r", reserved=reserved)
    asked = llm(ScriptedEngine())._engine_request(EngineRequest, request, call)
    assert asked.max_tokens == 100


async def test_the_least_top_p_is_the_likeliest_token():
    engine = ScriptedEngine(["one"])
    await llm(engine).chat(chat(top_p=0), CallContext("r"))
    assert 0 < engine.asked[0].top_p < 0.001


# --- reasoning --------------------------------------------------------------------------------


class Thinker:
    """A reasoning parser, as vLLM makes them: two tokens of three are thoughts."""

    tool_parser_cls = None

    def __init__(self, *_, **__) -> None: ...

    def parse_delta(self, delta_text, **_):
        from vllm.entrypoints.generate.base.protocol import DeltaMessage

        return DeltaMessage(content=delta_text)

    def parse(self, text, *_, **__):
        return "hm", text, []

    def set_prompt_token_ids(self, _) -> None: ...

    def count_reasoning_tokens(self, ids) -> int:
        return min(2, len(ids))


def thinker():
    return llm(ScriptedEngine(["hm ", "hm ", "yes"]), Thinker, **{"reasoning-parser": "qwen3"})


THOUGHT = WorkUnits(input_tokens=len(PROMPT), output_tokens=3, reasoning_tokens=2)


async def test_tokens_of_reasoning_are_told_and_billed():
    reply = await thinker().chat(chat(), CallContext("r"))
    usage = json.loads(reply.body)["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert reply.units == THOUGHT


async def test_tokens_of_reasoning_are_billed_in_streams_that_do_not_ask_for_usage():
    call = CallContext("r")
    chunks = thinker().chat_stream(chat(stream=True), call)
    *parts, done = await events(chunks)
    assert call.done == THOUGHT
    assert done == "[DONE]"
    assert all(part["choices"] and "usage" not in part for part in parts)
    assert said(parts) == "hm hm yes"


async def test_a_stream_with_usage_says_what_is_billed():
    call = CallContext("r")
    request = chat(stream=True, stream_options={"include_usage": True})
    *parts, totals, _ = await events(thinker().chat_stream(request, call))
    assert all(part["usage"] is None for part in parts)
    assert totals["choices"] == []
    assert totals["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert call.done == THOUGHT


async def test_the_last_piece_of_a_stream_carries_the_tokens_of_reasoning():
    *_, last = [c async for c in thinker().chat_stream(chat(stream=True), CallContext("r"))]
    assert last.units == THOUGHT
