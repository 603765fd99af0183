"""The model contract: what a deployment promises, without saying who may call it.

Place in the path: a model's file in `deployments/` exports a `ModelSpec`; `graphs/` turns it
into a Serve application; `ingress/` reads its operations to parse, estimate and dispatch.
This module does not start anything and knows neither callers nor HTTP.

A model is a plain class. Its `__init__` takes its settings and loads weights; each operation is
one async method:

    async def greet(self, request: GreetRequest, call: CallContext) -> Reply: ...
    async def chat_stream(self, request: ChatRequest, call: CallContext) -> Chunks: ...

It may also have `async start()` (load what needs a running event loop), `async check_health()`
(raise to be replaced) and `async stop()`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from core.work import NO_WORK, WorkUnits


class Frozen(BaseModel):
    """Base of every settings model: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelCard(Frozen):
    """What the gateway knows about one served model. One entry of its `user_config`."""

    id: str
    spec: str
    """Import path of the model's `ModelSpec`, as `deployments.echo:SPEC`."""
    application: str | None = None
    """Serve application to call; the model id with `/` as `--` when not given."""
    revision: str = "1"
    """Changes whenever answers may change: part of every cache key."""
    context_window: int | None = None
    """Tokens of prompt and output together, for models that have such a limit."""
    max_output_tokens: int | None = None
    """Output reserved and allowed when a request names no maximum."""
    wake_s: float = 20.0
    """About how long a replica takes to load: what callers of a sleeping model are told, until it
    has been seen."""
    limits: Mapping[str, Any] = {}
    """What requests may ask of it, for families whose models differ in that: `ModelSpec.limits`."""
    aliases: tuple[str, ...] = ()
    """Other names that clients may call this model by."""
    owned_by: str = "carillon"
    created: int = 1_790_000_000
    description: str = ""

    @cached_property
    def application_name(self) -> str:
        return self.application or self.id.replace("/", "--")


@dataclass(slots=True)
class CallContext:
    """What a model may know of a call: enough to trace and isolate, never who is calling."""

    request_id: str
    model: str = ""
    """The model's id, as the ledger names it; empty for calls that no gateway made."""
    isolation: str = ""
    """Opaque tenant salt: prefix caches keyed with it never leak timing across tenants."""
    reserved: WorkUnits = NO_WORK
    """What admission reserved: the engine must not produce more than this."""
    done: WorkUnits = NO_WORK
    """Work done so far. An engine that can count keeps it current, so that a call that is cut
    short is still billed for what was really produced."""
    device_s: float = 0.0
    """Seconds that a device worked for it so far; where calls share one, its share. Kept by the
    engine, as `done` is."""
    storage_bytes: int | None = None
    """Of operations on what tenants keep: the most that this one may keep; None for no limit."""
    durable: bool = False
    """Whether its caller is a job, which outlives its process and settles by itself what is cut
    short: it makes the call again, and work that was lost is not billed."""
    whole_or_nothing: bool = False
    """Whether its caller asks again for what was cut short, and owes one whole answer. Only a
    gateway that dies cuts it short: it goes on when its caller has gone."""


class Reply(NamedTuple):
    """A whole answer: bytes ready for the wire, and the work really done."""

    body: bytes
    units: WorkUnits = NO_WORK
    media_type: str = "application/json"
    device_s: float = 0.0
    """Set by the replica, from `CallContext.device_s`."""


class Chunk(NamedTuple):
    """A piece of a streamed answer.

    `units` is cumulative: the last chunk that arrived says what to bill, even if the replica
    dies before the next one. `last` is set by the replica, never by a model: it tells the
    gateway to settle before the caller sees the end.
    """

    data: bytes
    units: WorkUnits = NO_WORK
    last: bool = False
    device_s: float = 0.0
    """Set by the replica, in the last chunk."""


class Ended(NamedTuple):
    """What a call took that ended in its replica, for whoever did not hear the end."""

    units: WorkUnits
    device_s: float = 0.0
    ttft_ms: int | None = None


EVENT_STREAM = "text/event-stream"


def _event_stream(_: Any) -> str:
    return EVENT_STREAM


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a model can do, named by its method.

    Args:
        method: name of the async method on the model class.
        request: pydantic type of the request; validated once, by the gateway.
        estimate: upper bound of the work, known before it is done. It is what admission
            reserves, so an operation without one cannot be constructed, nor its route mounted.
        stream_method: method that yields `Chunk`s when the request asks for a stream: when it has
            a true `stream`, a field or a property.
        stream_type: media type of such a stream, which the request may choose.
        cacheable: whether an identical request may be answered from the response cache.
        is_of_its_moment: whether answers look at what changes by itself, such as a market: they may
            be cached for as long as the cache keeps things, and are not taken over later.
        makes_media: whether answers hold files (pictures, sound, films): whoever keeps them asks
            for room first.
        tenant_field: the field that says whose data an operation is about, where tenants keep some.
            Filled in once the caller is identified; a caller who sends it is refused.
        outdates: whether an answer's body says that something which a tenant kept is gone: cached
            answers of that tenant, which may quote it, are forgotten. None: no answer does.
    """

    method: str
    request: type[BaseModel]
    estimate: Callable[[Any, ModelCard], WorkUnits]
    stream_method: str | None = None
    stream_type: Callable[[Any], str] = _event_stream
    cacheable: bool = True
    is_of_its_moment: bool = False
    makes_media: bool = False
    tenant_field: str | None = None
    outdates: Callable[[bytes], bool] | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything the system needs to serve a model family.

    Args:
        family: the modality ("chat", "embeddings", ...); the default model of a request is
            the first configured one of its family.
        model: the class; importing its module must not import heavy libraries.
        settings: pydantic type of the `engine` settings in `serve_config.yaml`.
        operations: what it can do, by public name.
        limits: pydantic type of a card's `limits`; None for families whose cards have none.
        options: default Serve deployment options (`max_ongoing_requests`, ...).
    """

    family: str
    model: type
    settings: type[Frozen]
    operations: Mapping[str, Operation]
    limits: type[Frozen] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
