"""Language models: vLLM's engine behind vLLM's own OpenAI serving layer.

Place in the path: step 4. Templates, tools, JSON schemas, log probabilities, stop strings and
images are vLLM's to parse; this file starts the engine, hands requests over, translates errors
and counts tokens where the engine produces them. It opens no port.

Source: vLLM 0.32, `vllm.entrypoints.launchers.api_server.app_state`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError, field_validator

from core.chat import ChatRequest, CompletionRequest, estimate_chat, estimate_completion
from core.errors import (
    CarillonError,
    ContextOverflow,
    InvalidRequest,
    ModelUnavailable,
    NotFound,
    QueueFull,
)
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.work import WorkUnits
from deployments.device_time import DeviceTime
from deployments.llm_meter import TokenMeter
from deployments.llm_pace import Pace
from models.sources import locate

FORBIDDEN_OPTIONS = frozenset({"trust-remote-code", "api-key", "host", "port", "uds", "model"})
"""Options that would run a model author's code, or open the engine to the network."""

EVENT_END = b"}\n\n"


class LlmSettings(Frozen):
    """`engine` settings of a language model."""

    name: str
    """Name that answers carry."""
    source: str
    """Weights; see `models.sources`."""
    options: Mapping[str, bool | int | float | str] = {}
    """vLLM's own server options by their documented names, without the dashes in front."""

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

    async def check_health(self) -> None:
        """Raises when the engine process has died, so that Serve replaces this replica."""
        await self.engine.check_health()

    async def stop(self) -> None:
        """End the engine process."""
        self.engine.shutdown()

    async def chat(self, request: ChatRequest, call: CallContext) -> Reply:
        """A whole chat completion."""
        return await self._whole(self._chat_events(request, call), call)

    async def chat_stream(self, request: ChatRequest, call: CallContext) -> AsyncIterator[Chunk]:
        """A chat completion as server-sent events."""
        async for chunk in self._events(self._chat_events(request, call), request, call):
            yield chunk

    async def complete(self, request: CompletionRequest, call: CallContext) -> Reply:
        """A whole text completion."""
        return await self._whole(self._completion_events(request, call), call)

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
        fields |= {
            "model": self.settings.name,
            "request_id": call.request_id,
            "cache_salt": call.isolation or None,
            "stream_interval": self.pace.tokens_per_event,
        }
        if request.output_limit is None and call.reserved.output_tokens:
            fields["max_tokens"] = call.reserved.output_tokens // (request.n or 1)
        try:
            return kind.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidRequest(first["msg"], where or None) from error

    async def _whole(self, pending: Any, call: CallContext) -> Reply:
        with self.device.busy(call), self.meter.count(call), _translated():
            result = await pending
        _raise_if_cancelled()
        _raise_if_error(result)
        body = result.model_dump(mode="json")
        body["usage"] = _usage(call.done)
        return Reply(orjson.dumps(body), call.done)

    async def _events(
        self, pending: Any, request: ChatRequest | CompletionRequest, call: CallContext
    ) -> AsyncIterator[Chunk]:
        with _translated(), self.device.busy(call):
            with self.meter.count(call):
                events = await pending
            _raise_if_error(events)
            with_usage = _wants_usage(request)
            first = await anext(events)
            yield Chunk(_as_asked(first, call, with_usage=with_usage), call.done)
            with self.pace.stream(call, request.n or 1):
                async for event in events:
                    yield Chunk(_as_asked(event, call, with_usage=with_usage), call.done)

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


@contextmanager
def _translated() -> Iterator[None]:
    """Turn vLLM's errors into ours; a bug stays a bug."""
    try:
        yield
    except CarillonError:
        raise
    except Exception as error:
        if (translated := _translate(error)) is not None:
            raise translated from error
        raise


def _translate(error: Exception) -> CarillonError | None:
    from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMNotFoundError
    from vllm.v1.engine.exceptions import EngineDeadError

    message = str(error.args[0]) if error.args else type(error).__name__
    if isinstance(error, VLLMNotFoundError):
        return NotFound(message)
    if isinstance(error, EngineDeadError):
        return ModelUnavailable("the model's engine stopped; it is being restarted", None, 10.0)
    if isinstance(error, GracefulHTTPError):
        return QueueFull(message, None, 1.0)
    if isinstance(error, (VLLMClientError, ValidationError, ValueError, TypeError)):
        return _invalid(message, getattr(error, "parameter", None))
    return None


def _wants_usage(request: ChatRequest | CompletionRequest) -> bool:
    return bool(request.stream_options and request.stream_options.include_usage)


def _as_asked(event: str, call: CallContext, *, with_usage: bool) -> bytes:
    """An event as OpenAI sends it: with `include_usage`, null in each and the totals in the last.

    vLLM leaves the null ones out. What the totals say is what is billed.
    """
    data = event.encode()
    if not with_usage or not data.endswith(EVENT_END):
        return data
    if b'"choices":[],' not in data:
        return data if b'"usage":' in data else data[:-3] + b',"usage":null' + EVENT_END
    document = orjson.loads(data[len(b"data: ") :])
    document["usage"] = _usage(call.done)
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _usage(done: WorkUnits) -> dict[str, Any]:
    """OpenAI's usage object, from the engine's own count."""
    return {
        "prompt_tokens": done.input_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": done.reasoning_tokens},
    }


def _raise_if_cancelled() -> None:
    """VLLM answers a cancelled request with an error response and keeps the cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _raise_if_error(result: Any) -> None:
    """VLLM returns some errors instead of raising them."""
    error = getattr(result, "error", None)
    if error is None or not isinstance(result, BaseModel):
        return
    if error.code == 404:  # noqa: PLR2004
        raise NotFound(error.message)
    if error.code >= 500:  # noqa: PLR2004
        raise CarillonError(error.message)
    raise _invalid(error.message, error.param)


def _invalid(message: str, param: str | None) -> InvalidRequest:
    too_long = "context length" in message or "maximum model length" in message
    return (ContextOverflow if too_long else InvalidRequest)(message, param)


SPEC = ModelSpec(
    family="chat",
    model=Llm,
    settings=LlmSettings,
    operations={
        "chat": Operation(
            method="chat",
            stream_method="chat_stream",
            request=ChatRequest,
            estimate=estimate_chat,
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
