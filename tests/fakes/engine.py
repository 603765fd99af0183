"""An engine that says what it is told, behind vLLM's own serving layer for chats.

Only what happens before an engine is asked (templates, tokenizers) is left out: what vLLM makes of
outputs and of errors is the real thing.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.datastructures import State

from deployments.device_time import DeviceTime
from deployments.llm import Llm, LlmSettings
from deployments.llm_meter import TokenMeter

PROMPT = [1, 2, 3]


class ScriptedEngine:
    """Gives each word as an output of one token, and then raises, where it is to.

    Args:
        words: of every answer.
        error: what comes after them.
    """

    def __init__(self, words: Sequence[str] = (), error: Exception | None = None) -> None:
        self.words = words
        self.error = error
        self.asked: list[Any] = []
        """vLLM's requests, as they arrived."""

    async def generate(self, request: Any, _parameters: Any, request_id: str) -> AsyncIterator[Any]:
        from vllm.outputs import CompletionOutput, RequestOutput

        self.asked.append(request)
        for number, word in enumerate(self.words, start=1):
            last = number == len(self.words) and self.error is None
            if not (last or request.stream):
                continue
            text = word if request.stream else "".join(self.words)
            ids = [number] if request.stream else list(range(number))
            finish = "stop" if last else None
            said = CompletionOutput(0, text, ids, None, None, finish_reason=finish)
            yield RequestOutput(request_id, None, PROMPT, None, [said], last, num_cached_tokens=0)
        if self.error is not None:
            raise self.error

    async def abort(self, *_: Any, **__: Any) -> None: ...


def llm(engine: ScriptedEngine, parser: Any = None, **options: Any) -> Llm:
    """The deployment around `engine`; `parser` tells reasoning from answers."""
    model = Llm(LlmSettings(name="m", source="starter:starter_chat", options=options))
    model.device = DeviceTime()
    model.engine = engine
    model.meter = TokenMeter(engine)
    model.state = State({"openai_serving_chat": _Chats(engine, parser)})
    return model


class _Chats:
    """vLLM's `OpenAIServingChat`, whose prompts nobody renders."""

    def __init__(self, engine: ScriptedEngine, parser: Any) -> None:
        from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat

        serving = OpenAIServingChat.__new__(OpenAIServingChat)
        serving.parser_cls = parser
        serving.model_config = None
        serving.response_role = "assistant"
        serving.request_logger = None
        serving.system_fingerprint = None
        serving.default_chat_template_kwargs = {}
        serving.return_tokens_as_token_ids = False
        serving._include_reasoning_tokens_details = parser is not None
        for name in (
            "enable_auto_tools",
            "enable_force_include_usage",
            "enable_log_outputs",
            "enable_log_deltas",
            "enable_prompt_tokens_details",
            "enable_per_request_metrics",
        ):
            setattr(serving, name, False)
        self._engine, self._inner = engine, serving

    async def create_chat_completion(self, request: Any, _: None) -> Any:
        from vllm.entrypoints.generate.base.protocol import RequestResponseMetadata

        outputs = self._engine.generate(request, None, request.request_id)
        metadata = RequestResponseMetadata(request_id=request.request_id)
        about: tuple[Any, ...] = (request, outputs, request.request_id, "m", [], object(), metadata)
        if request.stream:
            return self._inner.chat_completion_stream_generator(*about)
        parser = self._inner.parser_cls and self._inner.parser_cls()
        return await self._inner.chat_completion_full_generator(*about, parser=parser)
