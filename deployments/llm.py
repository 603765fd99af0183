"""Language models: vLLM's engine behind vLLM's own OpenAI serving layer.

Place in the path: step 4. Templates, tools, JSON schemas, log probabilities, stop strings and
images are vLLM's to parse; this file starts the engine and hands requests over. What answers and
errors look like is in `llm_events` and `llm_errors`, what is counted in `llm_meter`. It opens no
port.

Source: vLLM 0.32, `vllm.entrypoints.launchers.api_server.app_state`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError, field_validator

from core import cores
from core.chat import ChatRequest, CompletionRequest, estimate_completion
from core.errors import InvalidRequest
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.vision import estimate_vision_chat
from deployments.device_time import DeviceTime
from deployments.llm_errors import raise_if_error, translated
from deployments.llm_events import Events, asked_with_functions, reasoned, usage, wants_usage
from deployments.llm_functions import as_functions, as_tools
from deployments.llm_meter import TokenMeter
from deployments.llm_pace import Pace
from models.sources import locate

FORBIDDEN_OPTIONS = frozenset({"trust-remote-code", "api-key", "host", "port", "uds", "model"})
"""Options that would run a model author's code, or open the engine to the network."""
LEAST_TOP_P = 1e-6
"""What OpenAI's 0 means, the likeliest token alone, where vLLM wants more than 0."""


class LlmSettings(Frozen):
    """`engine` settings of a language model."""

    name: str
    """Name that answers carry."""
    source: str
    """Weights; see `models.sources`."""
    options: Mapping[str, bool | int | float | str] = {}
    """vLLM's own server options by their documented names, without the dashes in front."""

    own_core: bool = False
    """Where cores are few: hold the engine to one of them, and keep this process off it. For one
    engine of a machine, on the CPU, that works in one thread. See `core.cores`."""

    @field_validator("options")
    @classmethod
    def _safe(cls, options: Mapping[str, Any]) -> Mapping[str, Any]:
        if unsafe := FORBIDDEN_OPTIONS & {name.replace("_", "-") for name in options}:
            raise ValueError(f"not allowed here: {', '.join(sorted(unsafe))}")
        return options


class Llm:
    """One vLLM engine."""

    def __init__(self, settings: LlmSettings) -> None:
        self.settings = settings
        self.directory = locate(settings.source)
        self.pace = Pace()

    async def start(self) -> None:
        """Load the weights and build vLLM's serving handlers. 35-40 s on two CPU cores."""
        from starlette.datastructures import State
        from vllm import AsyncEngineArgs
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = self._arguments()
        self.device = DeviceTime(_devices(arguments))
        self.engine = AsyncLLM.from_engine_args(AsyncEngineArgs.from_cli_args(arguments))
        self.meter = TokenMeter(self.engine)
        self.state = State()
        tasks = await self.engine.get_supported_tasks()
        await init_app_state(self.engine, self.state, arguments, tasks)
        if self.settings.own_core:
            self._part_cores()

    async def check_health(self) -> None:
        """Raises when the engine process has died, so that Serve replaces this replica."""
        await self.engine.check_health()

    async def stop(self) -> None:
        """End the engine process."""
        self.engine.shutdown()

    async def chat(self, request: ChatRequest, call: CallContext) -> Reply:
        """A whole chat completion."""
        return await self._whole(self._chat_events(request, call), request, call)

    async def chat_stream(self, request: ChatRequest, call: CallContext) -> AsyncIterator[Chunk]:
        """A chat completion as server-sent events."""
        async for chunk in self._events(self._chat_events(request, call), request, call):
            yield chunk

    async def complete(self, request: CompletionRequest, call: CallContext) -> Reply:
        """A whole text completion."""
        return await self._whole(self._completion_events(request, call), request, call)

    async def complete_stream(
        self, request: CompletionRequest, call: CallContext
    ) -> AsyncIterator[Chunk]:
        """A text completion as server-sent events."""
        async for chunk in self._events(self._completion_events(request, call), request, call):
            yield chunk

    async def _chat_events(self, request: ChatRequest, call: CallContext) -> Any:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        return await self.state.openai_serving_chat.create_chat_completion(
            self._engine_request(ChatCompletionRequest, request, call), None
        )

    async def _completion_events(self, request: CompletionRequest, call: CallContext) -> Any:
        from vllm.entrypoints.openai.completion.protocol import (
            CompletionRequest as EngineCompletionRequest,
        )

        return await self.state.openai_serving_completion.create_completion(
            self._engine_request(EngineCompletionRequest, request, call), None
        )

    def _engine_request(
        self, kind: Any, request: ChatRequest | CompletionRequest, call: CallContext
    ) -> Any:
        """The request as vLLM's own type, within what was reserved and salted per tenant."""
        fields = request.model_dump(exclude_unset=True)
        if isinstance(request, ChatRequest):
            fields = as_tools(fields)
        if request.top_p == 0:
            fields["top_p"] = LEAST_TOP_P
        fields |= {
            "model": self.settings.name,
            "request_id": call.request_id,
            "cache_salt": call.isolation or None,
            "stream_interval": self.pace.tokens_per_event,
        }
        if request.output_limit is None and call.reserved.output_tokens:
            fields["max_tokens"] = call.reserved.output_tokens // request.choices
        if request.stream and self._reasons and not wants_usage(request):
            # Only its totals say how many tokens were reasoning.
            fields["stream_options"] = {"include_usage": True}
        try:
            return kind.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidRequest(first["msg"], where or None) from error

    async def _whole(
        self, pending: Any, request: ChatRequest | CompletionRequest, call: CallContext
    ) -> Reply:
        with self.device.busy(call), self.meter.count(call) as count, translated():
            result = await pending
        _raise_if_cancelled()
        raise_if_error(result)
        body = result.model_dump(mode="json")
        count.note_reasoning(reasoned(body["usage"]))
        body["usage"] = usage(call.done)
        if asked_with_functions(request):
            as_functions(body)
        return Reply(orjson.dumps(body), call.done)

    async def _events(
        self, pending: Any, request: ChatRequest | CompletionRequest, call: CallContext
    ) -> AsyncIterator[Chunk]:
        with translated(), self.device.busy(call):
            with self.meter.count(call) as count:
                events = await pending
            raise_if_error(events)
            told = Events(request, call, count)
            if (first := told.as_asked(await anext(events))) is not None:
                yield Chunk(first, call.done)
            with self.pace.stream(call, request.choices):
                async for event in events:
                    if (data := told.as_asked(event)) is not None:
                        yield Chunk(data, call.done)

    def _part_cores(self) -> None:
        """Engine and server on cores of their own: each wakes the other for every token."""
        core = cores.engine_core()
        if core is not None:
            (process,) = self.engine.engine_core.resources.engine_manager.processes
            cores.hold(process.pid, core)
            cores.keep_off(os.getpid(), core)

    @property
    def _reasons(self) -> bool:
        """Whether vLLM tells reasoning from answers for this model."""
        return any(name.replace("_", "-") == "reasoning-parser" for name in self.settings.options)

    def _arguments(self) -> Any:
        """VLLM's parsed command line; an unknown option fails here with vLLM's message."""
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        words = ["--model", self.directory, "--served-model-name", self.settings.name]
        for name, value in self.settings.options.items():
            option = "--" + name.replace("_", "-")
            if value is True:
                words.append(option)
            elif value is not False:
                words += [option, str(value)]
        return make_arg_parser(FlexibleArgumentParser()).parse_args(words)


def _devices(arguments: Any) -> int:
    """That one engine works on at once."""
    return int(arguments.tensor_parallel_size * arguments.pipeline_parallel_size)


def _raise_if_cancelled() -> None:
    """VLLM answers a cancelled request with an error response and keeps the cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


SPEC = ModelSpec(
    family="chat",
    model=Llm,
    settings=LlmSettings,
    operations={
        "chat": Operation(
            method="chat",
            stream_method="chat_stream",
            request=ChatRequest,
            estimate=estimate_vision_chat,
        ),
        "completion": Operation(
            method="complete",
            stream_method="complete_stream",
            request=CompletionRequest,
            estimate=estimate_completion,
        ),
    },
    options={"max_ongoing_requests": 64, "max_queued_requests": 128},
)
