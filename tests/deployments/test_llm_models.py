"""Other language models by directory: Qwen3, the GPU configuration's, in its layout, on a real vLLM
with the options it is given there.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cli.config import read_config
from core.chat import ChatRequest
from core.model import CallContext
from core.settings import ROOT
from deployments.llm import Llm, LlmSettings
from tests.deployments.scripted_qwen3 import CALL, SAID, THOUGHT, WINDOW, write

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "HF_HUB_OFFLINE": "1",
}
HERE = {"gpu-memory-utilization": False, "max-model-len": WINDOW, "max-num-seqs": 4}
"""What a GPU's memory decides."""
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def engine_of(name: str) -> dict[str, Any]:
    applications = read_config(ROOT / "serve_config.gpu.yaml").document["applications"]
    found: dict[str, Any] = next(each["args"] for each in applications if each["name"] == name)
    return dict(found["engine"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["qwen3-8b"])
async def model(request, tmp_path_factory) -> AsyncIterator[Llm]:
    folder: Path = tmp_path_factory.mktemp("qwen3")
    write(folder)
    engine = engine_of(request.param)
    settings = engine | {"source": str(folder), "options": engine["options"] | HERE}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        model = Llm(LlmSettings.model_validate(settings))
        await model.start()
        yield model
        await model.stop()


def chat(**fields: Any) -> ChatRequest:
    document = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    return ChatRequest.model_validate(document | fields)


async def streamed(model: Llm, call: CallContext, **fields: Any) -> list[dict[str, Any]]:
    chunks = [chunk async for chunk in model.chat_stream(chat(stream=True, **fields), call)]
    events = b"".join(chunk.data for chunk in chunks).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def choice_of(reply: Any) -> dict[str, Any]:
    choice: dict[str, Any] = json.loads(reply.body)["choices"][0]
    return choice


def called(calls: list[dict[str, Any]]) -> tuple[str, Any]:
    (only,) = [each["function"] for each in calls]
    return only["name"], json.loads(only["arguments"])


async def test_a_thought_is_told_from_a_call_and_both_are_counted(model):
    reply = await model.chat(chat(tools=[WEATHER]), CallContext("r"))
    choice = choice_of(reply)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["reasoning"] == THOUGHT
    assert not choice["message"]["content"]
    assert called(choice["message"]["tool_calls"]) == CALL
    assert (reply.units.output_tokens, reply.units.reasoning_tokens) == (13, 2)


async def test_a_stream_tells_the_same_and_counts_the_same(model):
    call = CallContext("s")
    events = await streamed(model, call, tools=[WEATHER])
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(delta.get("reasoning") or "" for delta in deltas) == THOUGHT
    assert not "".join(delta.get("content") or "" for delta in deltas)
    parts = [part["function"] for delta in deltas for part in delta.get("tool_calls") or []]
    arguments = "".join(part.get("arguments") or "" for part in parts)
    assert ([part["name"] for part in parts if "name" in part], json.loads(arguments)) == (
        [CALL[0]],
        CALL[1],
    )
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert (call.done.output_tokens, call.done.reasoning_tokens) == (13, 2)


@pytest.mark.parametrize(
    "off", [{"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}]
)
async def test_thinking_can_be_switched_off(model, off):
    reply = await model.chat(chat(**off), CallContext("r"))
    choice = choice_of(reply)
    assert (choice["message"]["content"], choice["message"]["reasoning"]) == (SAID, None)
    assert choice["finish_reason"] == "stop"
    assert (reply.units.output_tokens, reply.units.reasoning_tokens) == (4, 0)


async def test_a_prompt_that_came_before_is_not_computed_again(model):
    long = [{"role": "user", "content": "the same words " * 20}]
    first, second = [await model.chat(chat(messages=long), CallContext("r")) for _ in range(2)]
    assert first.units.cached_tokens == 0
    assert 0 < second.units.cached_tokens < second.units.input_tokens
