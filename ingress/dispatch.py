"""Dispatch: from a call to the model's replica, by deployment handle.

Place in the path: step 4. It waits for the call's turn where the model is busy, finds the
application, and turns Ray's errors into ours. Whose turn it is decides `ingress.turns`; the choice
of a replica is Serve's. Every payload travels by value, in one message: one that is too large for
it is refused.
"""

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from grpc.aio import AioRpcError
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from core.errors import (
    CarillonError,
    DeadlineExceeded,
    ModelLoading,
    ModelUnavailable,
)
from core.model import CallContext, Chunk, Ended, ModelCard, Reply
from graphs.model_errors import PLAIN, START_RETRY_S, cause_of, failed, full, own, too_large
from ingress.call import Call
from ingress.readiness import Readiness
from ingress.turns import MS_PER_S, Turn, Turns
from ingress.waking import Waking

RECALL_S = 5.0
"""How long replicas have to say what they know of a call."""

logger = logging.getLogger("ray.serve")


class ServeDispatcher:
    """Calls models over Serve handles."""

    def __init__(
        self, readiness: Readiness, waking: Waking, turns: Turns, timeout_s: float
    ) -> None:
        self._readiness = readiness
        self._waking = waking
        self._turns = turns
        self._timeout_s = timeout_s
        self._handles: dict[str, tuple[DeploymentHandle[Any], DeploymentHandle[Any]]] = {}
        self._knocks: dict[str, asyncio.Task[None]] = {}

    async def answer(self, call: Call, context: CallContext) -> Reply:
        """The whole answer.

        Raises:
            QueueFull, ModelUnavailable, ModelLoading, DeadlineExceeded: nothing was produced.
            CarillonError: whatever the model raised.
        """
        with self._errors(call), self._turns.take(call) as turn:
            if not turn.is_given:
                await self._wait(call, turn)
            whole, _ = self._methods(call)
            response = whole.remote(call.operation_name, call.request, context)
            try:
                await self._awake(call, turn)
                async with asyncio.timeout(self._timeout_s):
                    reply: Reply = await response
                    turn.units = reply.units
                    return reply
            except (asyncio.CancelledError, TimeoutError, ModelLoading):
                # Ceasing to wait is not enough: the engine must stop, and be billed to here.
                response.cancel()
                raise

    async def stream(self, call: Call, context: CallContext) -> AsyncGenerator[Chunk, None]:
        """The answer in chunks; the same errors as `answer`, at the chunk where they happen."""
        with self._errors(call), self._turns.take(call) as turn:
            if not turn.is_given:
                await self._wait(call, turn)
            _, streaming = self._methods(call)
            chunks = streaming.remote(call.operation_name, call.request, context)
            clock = asyncio.get_running_loop().time
            ended = False
            try:
                await self._awake(call, turn)
                # One timeout, moved on with each piece: a new one for each costs ten times as much.
                async with asyncio.timeout(self._timeout_s) as patience:
                    while not ended:
                        chunk: Chunk = await anext(chunks)
                        ended = chunk.last
                        turn.units = chunk.units
                        if ended:
                            turn.end()  # not when the caller has read it
                        patience.reschedule(None)
                        yield chunk
                        patience.reschedule(clock() + self._timeout_s)
            finally:
                if not ended:
                    # Closing early must reach the engine: cancel what still runs over there.
                    chunks.cancel()

    async def ended(self, call: Call) -> Ended | None:
        """What a call took whose caller went while its end was on the way here.

        None where the replica was in time to stop, and reports it, or where nobody knows. All
        replicas are asked: which of them had the call is Serve's knowledge.
        """
        try:
            with self._errors(call):
                whole, _ = self._methods(call)
                replies = whole.broadcast("ended", [call.request_id])
                known = await replies.results_async(timeout_s=RECALL_S, return_exceptions=True)
        except CarillonError:
            return None
        ends = (found for found in known if isinstance(found, dict))
        return next((found[call.request_id] for found in ends if found), None)

    async def _wait(self, call: Call, turn: Turn) -> None:
        """Wait for the call's turn, of which Serve does not know yet.

        Raises QueueFull, DeadlineExceeded, or ModelLoading where the model still sleeps.
        """
        call.headers |= self._queue_headers(call, turn)
        call.waiting = True
        if not await self._came(call.model.card, turn):
            raise self._full(call)
        call.waiting = False

    async def _came(self, card: ModelCard, turn: Turn) -> bool:
        if self._waking.is_asleep(card):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._waking.patience_s):
                    return await turn.come()
            if self._waking.is_asleep(card):
                raise self._waking.loading(card)
        async with asyncio.timeout(self._timeout_s):
            return await turn.come()

    def _queue_headers(self, call: Call, turn: Turn) -> dict[str, str]:
        """Where it waits and about how long, as far as that is known."""
        position, wait_s = turn.outlook
        headers = {"x-queue-position": str(position)}
        if wait_s is not None:
            if self._waking.is_asleep(call.model.card):
                wait_s += self._waking.loading(call.model.card).retry_after_s or 0.0
            headers["x-queue-eta-ms"] = str(math.ceil(wait_s * MS_PER_S))
        else:
            call.headers.pop("x-queue-eta-ms", None)
        return headers

    async def _awake(self, call: Call, turn: Turn) -> None:
        """Wait with the call, which is in Serve's queue and wakes the model."""
        if self._waking.is_asleep(call.model.card):
            self._knock(call)
            await self._waking.wait(call.model.card)
            turn.begin()

    def _knock(self, call: Call) -> None:
        """Have the model wake though its callers leave: Serve looks at queues now and then, and a
        caller who is to come back later would find it asleep as before.
        """
        application = call.model.card.application_name
        if application not in self._knocks:
            task = asyncio.create_task(self._stay_until_awake(call))
            self._knocks[application] = task
            task.add_done_callback(lambda _: self._knocks.pop(application, None))

    async def _stay_until_awake(self, call: Call) -> None:
        """A call without work stays in the queue until a replica is there to take it."""
        with suppress(CarillonError), self._errors(call):
            whole, _ = self._methods(call)
            knock = whole.ended.remote([])
            try:
                async with asyncio.timeout(self._timeout_s):
                    await knock
            except (asyncio.CancelledError, TimeoutError):
                knock.cancel()
                raise

    def _methods(self, call: Call) -> tuple[DeploymentHandle[Any], DeploymentHandle[Any]]:
        """The model's `answer` and `stream`. Kept: Serve builds a new handle at each dot."""
        application = call.model.card.application_name
        self._require_running(application, call.model.card.id)
        if application not in self._handles:
            handle: DeploymentHandle[Any] = serve.get_app_handle(application).options(**PLAIN)
            self._handles[application] = (handle.answer, handle.options(stream=True).stream)
        return self._handles[application]

    def _require_running(self, application: str, model_id: str) -> None:
        if not self._readiness.applications:
            return  # Not polled yet: let Serve decide.
        state = self._readiness.of(application)
        if state is None:
            raise ModelUnavailable(f"the model '{model_id}' is not deployed", "model", 30.0)
        if not state.serving and state.status in ("DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY"):
            raise ModelUnavailable(
                f"the model '{model_id}' is not ready ({state.status.lower()})",
                "model",
                START_RETRY_S,
            )

    @contextmanager
    def _errors(self, call: Call) -> Iterator[None]:
        model = call.model.card.id
        try:
            yield
        except ModelLoading:
            raise
        except CarillonError as error:
            raise own(error) from None
        except BackPressureError as error:
            raise self._full(call) from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"'{model}' did not answer in time") from error
        except RayTaskError as error:
            raise cause_of(error, model) from error
        except (AioRpcError, RayError, RayServeException) as error:
            raise (too_large(error, model) or self._gone(call, error)) from error
        except Exception as error:
            raise failed(error, model) from error

    def _full(self, call: Call) -> CarillonError:
        card = call.model.card
        if self._waking.is_asleep(card):
            return self._waking.loading(card)
        return full(card.id)

    def _gone(self, call: Call, error: Exception) -> ModelUnavailable:
        """The replica died, or the application is not there."""
        self._handles.pop(call.model.card.application_name, None)
        logger.warning(
            "model unavailable: %s",
            type(error).__name__,
            extra={"carillon_request_id": call.request_id},
        )
        return ModelUnavailable(
            f"the model '{call.model.card.id}' stopped while it was answering",
            None,
            START_RETRY_S,
        )
