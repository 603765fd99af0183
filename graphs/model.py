"""A model as a Serve application: one spec, one deployment, replicas that count and coalesce.

Place in the path: step 4, the near side of a deployment handle. `build` is what
`serve_config.yaml` names for every model; `Replica` wraps the plain model class with what holds
for all of them. It does not know who is calling: requests arrive as data with a `CallContext`.
"""

import asyncio
import gc
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, ValidationError
from ray import serve
from ray.serve import Application

from core.errors import InvalidRequest
from core.imports import load_spec
from core.model import CallContext, Chunk, Ended, Frozen, ModelSpec, Operation, Reply
from core.settings import parse
from core.work import NO_WORK, WorkUnits, beyond
from graphs.coalesce import coalesce
from graphs.ended import EndedCalls
from graphs.engine_counts import EngineCounts
from graphs.failures import name_failures, named
from graphs.memory import MemoryGauge
from graphs.orphans import Orphan, OrphanReporter

logger = logging.getLogger("ray.serve")


class ModelArgs(Frozen):
    """`args` of a model's application in `serve_config.yaml`."""

    spec: str
    """Import path of the `ModelSpec`."""
    engine: Mapping[str, Any] = {}
    """The model's own settings, validated by `ModelSpec.settings`."""
    coalesce_ms: float = 20.0
    """How long later pieces of a stream may wait to travel together."""


class Replica:
    """One copy of a model: validates, calls, streams, and reports what was cut short."""

    def __init__(self, args: ModelArgs) -> None:
        name_failures()
        self.spec = load_spec(args.spec)
        self.coalesce_s = args.coalesce_ms / 1000
        settings = parse(self.spec.settings, dict(args.engine), f"engine of {args.spec}")
        self.model = self.spec.model(settings)
        self.orphans = OrphanReporter()
        self.counts = EngineCounts()
        self.ended_calls = EndedCalls()
        self.memory = MemoryGauge()
        self._starting: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Load what the model loads inside the event loop. Once, whoever asks first."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        if hasattr(self.model, "start"):
            await self.model.start()
            # An engine is millions of objects that live as long as this process. Serve freezes
            # what exists before this; without the same here, a full collection stops every
            # stream for half a second.
            gc.collect()
            gc.freeze()

    async def check_health(self) -> None:
        """Raises when the model says that this replica must be replaced."""
        await self.start()
        if hasattr(self.model, "check_health"):
            await self.model.check_health()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve's hook: what `graphs.scaling` wants to know of this replica."""
        return await asyncio.to_thread(self.memory.read)

    async def answer(self, operation: str, request: Any, call: CallContext | None = None) -> Reply:
        """Run `operation` to its end. `request` is its request type, or a dict of its fields."""
        started = time.perf_counter()
        await self.start()
        call = call or _own_call()
        verb, request = self._parse(operation, request, call)
        try:
            reply: Reply = await getattr(self.model, verb.method)(request, call)
        except asyncio.CancelledError:
            self._orphaned(call, started)
            raise
        except Exception as error:
            named(error, call.request_id)
            self.counts.count(call, NO_WORK, unbilled=call.done)
            raise
        self._ended(call, reply.units)
        return reply._replace(device_s=call.device_s)

    async def stream(
        self, operation: str, request: Any, call: CallContext | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Run `operation`, yielding as it goes; the last chunk has `last=True`."""
        started = time.perf_counter()
        await self.start()
        call = call or _own_call()
        verb, request = self._parse(operation, request, call)
        if verb.stream_method is None:
            raise InvalidRequest(f"'{operation}' of this model does not stream", "stream")
        ttft_ms: int | None = None
        delivered = NO_WORK
        try:
            source = getattr(self.model, verb.stream_method)(request, call)
            # Closed before the report below: the engine counts once more when it is aborted.
            async with aclosing(coalesce(source, self.coalesce_s)) as chunks:
                async for chunk in chunks:
                    call.done = delivered = chunk.units
                    ttft_ms = _since_ms(started) if ttft_ms is None else ttft_ms
                    yield chunk._replace(device_s=call.device_s) if chunk.last else chunk
        except (asyncio.CancelledError, GeneratorExit):
            self._orphaned(call, started, ttft_ms)
            raise
        except Exception as error:
            named(error, call.request_id)
            owed = NO_WORK if call.whole_or_nothing else delivered
            self.counts.count(call, owed, unbilled=beyond(call.done, owed))
            raise
        self._ended(call, delivered, ttft_ms)

    def ended(self, request_ids: Sequence[str]) -> dict[str, Ended]:
        """What calls took that ended here; nothing of those that did not, or long ago."""
        return self.ended_calls.of(request_ids)

    def _ended(self, call: CallContext, units: WorkUnits, ttft_ms: int | None = None) -> None:
        self.counts.count(call, units)
        self.ended_calls.note(call.request_id, Ended(units, call.device_s, ttft_ms))

    def _orphaned(self, call: CallContext, started: float, ttft_ms: int | None = None) -> None:
        is_made_again = call.durable or call.whole_or_nothing
        owed = NO_WORK if is_made_again else call.done
        self.counts.count(call, owed, unbilled=beyond(call.done, owed))
        if not call.durable:
            orphan = Orphan(owed, _since_ms(started), call.device_s, ttft_ms)
            self.orphans.report(call.request_id, orphan)

    def _parse(
        self, operation: str, request: Any, call: CallContext
    ) -> tuple[Operation, BaseModel]:
        verb = self.spec.operations.get(operation)
        if verb is None:
            raise InvalidRequest(f"this model has no operation '{operation}'", "operation")
        if isinstance(request, verb.request):
            return verb, request
        try:
            return verb, verb.request.model_validate(request)
        except ValidationError as error:
            raise named(InvalidRequest(str(error)), call.request_id) from error


def _since_ms(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)


def _own_call() -> CallContext:
    """The context of a call made by a handle, outside the gateway: not metered, still traced."""
    return CallContext(request_id=f"handle-{uuid.uuid4().hex}")


def build(args: ModelArgs) -> Application:
    """The application of one model. Raises SettingsError when spec or engine settings are wrong.

    The deployment is named after the model class; its options come from the spec and are
    overridden by `deployments:` in `serve_config.yaml`.
    """
    spec = load_spec(args.spec)
    parse(spec.settings, dict(args.engine), f"engine of {args.spec}")
    deployment = serve.deployment(name=spec.model.__name__, **deployment_options(spec))
    application: Application = deployment(Replica).bind(args)
    return application


def deployment_options(spec: ModelSpec) -> dict[str, Any]:
    """The spec's options over the defaults that every model here wants.

    Serve's own defaults (5 ongoing requests, an unbounded queue) suit no model.
    """
    return {
        "max_ongoing_requests": 64,
        "max_queued_requests": 256,
        "health_check_period_s": 5,
        "health_check_timeout_s": 30,
        "graceful_shutdown_timeout_s": 20,
    } | dict(spec.options)
