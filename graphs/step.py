"""A step: one model that a graph calls, by its deployment handle.

Place in the path: inside a graph's replica, which is to its callers a model. The graph was admitted
as a whole, for the sum of its steps; a step adds what it took to the graph's call, so that a caller
who goes away pays for what was done. It knows neither callers nor limits, and plans nothing.

    self.chat = Step("starter-chat")
    reply = await self.chat.answer("chat", ChatRequest(messages=[...]), call)
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from grpc.aio import AioRpcError
from pydantic import BaseModel
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from core.errors import CarillonError, DeadlineExceeded, ModelUnavailable
from core.model import CallContext, Chunk, Reply
from core.work import NO_WORK, beyond
from graphs.model_errors import PLAIN, START_RETRY_S, cause_of, failed, full, own, too_large

TIMEOUT_S = 600.0
"""Longest wait for an answer, and for each piece of a stream; a model that sleeps wakes in it."""


class Step:
    """One model, from a graph's side.

    Args:
        model: its id, which names its application.
        timeout_s: longest wait for an answer, or for a piece of one.
    """

    def __init__(self, model: str, timeout_s: float = TIMEOUT_S) -> None:
        self.model = model
        self._timeout_s = timeout_s
        self._methods: tuple[DeploymentHandle[Any], DeploymentHandle[Any]] | None = None

    async def answer(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> Reply:
        """The model's whole answer; what it took is added to `call`.

        Raises:
            QueueFull, ModelUnavailable, DeadlineExceeded
            CarillonError: whatever the model raised.
        """
        with self._errors():
            whole, _ = self._model()
            response = whole.remote(operation, request, _of(call))
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply: Reply = await response
            except (asyncio.CancelledError, TimeoutError):
                response.cancel()
                raise
        call.done += reply.units
        call.device_s += reply.device_s
        return reply

    async def stream(
        self, operation: str, request: BaseModel | dict[str, Any], call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The model's answer in chunks; `call.done` follows each. The same errors as `answer`.

        The units of a chunk are the model's own so far; those of the graph are `call.done`.
        """
        counted = NO_WORK
        ended = False
        with self._errors():
            _, streaming = self._model()
            chunks = streaming.remote(operation, request, _of(call))
            try:
                while not ended:
                    async with asyncio.timeout(self._timeout_s):
                        chunk: Chunk = await anext(chunks)
                    ended = chunk.last
                    call.done += beyond(chunk.units, counted)
                    counted = chunk.units
                    call.device_s += chunk.device_s
                    yield chunk
            finally:
                if not ended:
                    chunks.cancel()

    def _model(self) -> tuple[DeploymentHandle[Any], DeploymentHandle[Any]]:
        """Its `answer` and `stream`. Kept: Serve builds a new handle at each dot."""
        if self._methods is None:
            application = self.model.replace("/", "--")
            handle: DeploymentHandle[Any] = serve.get_app_handle(application).options(**PLAIN)
            self._methods = (handle.answer, handle.options(stream=True).stream)
        return self._methods

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except CarillonError as error:
            raise own(error) from None
        except BackPressureError as error:
            raise full(self.model) from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"'{self.model}' did not answer in time") from error
        except RayTaskError as error:
            raise cause_of(error, self.model) from error
        except (AioRpcError, RayError, RayServeException) as error:
            raise (too_large(error, self.model) or self._gone()) from error
        except Exception as error:
            raise failed(error, self.model) from error

    def _gone(self) -> ModelUnavailable:
        self._methods = None
        return ModelUnavailable(
            f"the model '{self.model}' is not there, or stopped while it was answering",
            None,
            START_RETRY_S,
        )


def _of(call: CallContext) -> CallContext:
    """A step's context. No model: the graph is what is metered; `durable`: it settles the step."""
    return CallContext(
        call.request_id, isolation=call.isolation, reserved=call.reserved, durable=True
    )
