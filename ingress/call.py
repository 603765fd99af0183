"""A call: one request for one model, parsed and ready for the request path.

Place in the path: the result of step 1, read by every later step. It is data; it does nothing.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import BaseModel

from auth.principal import Principal
from core.model import Operation, Reply
from core.work import NO_WORK, WorkUnits
from ingress.catalog import ServedModel

Keep = Callable[[Reply], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What the caller's `Cache-Control` allows (RFC 9111, request directives)."""

    read: bool = True
    """False for `no-cache` and `no-store`."""
    write: bool = True
    """False for `no-store`."""

    @classmethod
    def from_header(cls, value: str | None) -> "CachePolicy":
        if not value:
            return DEFAULT_CACHE_POLICY
        directives = {part.strip().lower() for part in value.split(",")}
        no_store = "no-store" in directives
        return cls(read=not no_store and "no-cache" not in directives, write=not no_store)


DEFAULT_CACHE_POLICY = CachePolicy()


@dataclass(slots=True)
class Call:
    """One request for one operation of one model.

    `request_id` is made here and keys the ledger; `trace_id` is the `x-request-id` of the
    response, which a client may choose and must therefore never key anything.
    """

    request_id: str
    trace_id: str
    endpoint: str
    model: ServedModel
    operation_name: str
    operation: Operation
    request: BaseModel
    streamed: bool = False
    cache: CachePolicy = DEFAULT_CACHE_POLICY
    durable: bool = False
    """Made by a job, which makes it again when it is cut short: see `CallContext.durable`."""
    keep: Keep | None = None
    """Puts a whole answer away before it is charged. What it raises, the call failed with."""
    once: str | None = None
    """Under an `Idempotency-Key`: names the call, which is charged once however often made."""
    whole_or_nothing: bool = False
    """Made under an `Idempotency-Key`: see `CallContext.whole_or_nothing`."""
    promise: tuple[str, str] | None = None
    """Of a run of a workflow: what holds room for it. See `auth.promises`."""
    principal: Principal | None = None
    """Whom it was admitted for."""
    expected: WorkUnits = NO_WORK
    """What was reserved for it."""
    waiting: bool = False
    """Whether it waits for its turn: no replica knows of it."""
    started: float = field(default_factory=time.perf_counter)
    told: list[int] = field(default_factory=list)
    """Statuses that telemetry was told of the calls of one request."""
    headers: dict[str, str] = field(default_factory=dict)
    """Response headers that are true whatever the outcome (rate windows, cache verdict)."""

    def owed(self, done: WorkUnits) -> WorkUnits:
        """What its caller owes of work that did not become a whole answer."""
        return NO_WORK if self.whole_or_nothing else done

    @property
    def ends_here(self) -> bool:
        """Whether only whoever made it knows what it owes, and no replica is to be asked."""
        return self.durable or self.whole_or_nothing

    def elapsed_ms(self) -> int:
        return int((time.perf_counter() - self.started) * 1000)
