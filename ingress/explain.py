"""`POST /v1/explain`: what would happen to a request, without it happening.

Place in the path: beside it, asking each step what it would say: who is calling, which windows
would be charged how much and which of them are in the way, what it would cost, whether an answer is
in the cache, which application would be called, in what state that is, and how long the call would
wait for its turn. Nothing is charged, counted or woken.
"""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auth.admission import WindowState
from auth.amounts import reserved_of
from auth.limits import Limits
from auth.plans import Meter
from auth.prices import PriceBook
from auth.principal import Principal, Scope
from auth.quota import refused_for
from auth.storage import Storage
from auth.valkey import ValkeyAdmission, blocking
from core.errors import CarillonError, InvalidRequest
from core.model import ModelCard
from ingress.batch_endpoints import OPERATIONS
from ingress.cache_key import cache_key
from ingress.call import CachePolicy, Call
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange, call_of
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.responses import json_response
from ingress.standing import storage_object
from ingress.trace import asked_window, principal_object, route_object, work_object
from ingress.turns import MS_PER_S, NO_WAIT, Turns


class ExplainRequest(BaseModel):
    """POST /v1/explain: a request, and where it would be sent."""

    model_config = ConfigDict(extra="forbid")

    endpoint: str | None = None
    """Path, as `/v1/chat/completions`."""
    operation: str | None = None
    """Instead of a path: an operation of a model, as `/v1/models/{model}/{operation}` names it."""
    request: dict[str, Any] = Field(default_factory=dict)
    """The body that would be sent."""
    cache_control: str | None = None


class Explain:
    """Handlers."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        admission: ValkeyAdmission,
        limits: Limits,
        prices: PriceBook,
        readiness: Readiness,
        turns: Turns,
        storage: Storage,
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._admission = admission
        self._limits = limits
        self._prices = prices
        self._readiness = readiness
        self._turns = turns
        self._storage = storage

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST", "/v1/explain", self.explain, "What a request would meet", ExplainRequest
            )
        ]

    async def explain(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.INFERENCE)
        asked = await exchange.parse(ExplainRequest)
        call = self._call(exchange, asked, principal)
        card = call.model.card
        bound = call.operation.estimate(call.request, card)
        estimate = self._path.reserved(principal, card.id, bound)
        prices = self._prices.of(card.id)
        states = await self._admission.standing(self._limits.scopes(principal))
        asked_of = [(state, reserved_of(state.window, estimate, bound, prices)) for state in states]
        full = [each for each in asked_of if _is_full(*each)]
        storage = await self._storage.standing(principal)
        cache = await self._cache(principal, call)
        return json_response(
            {
                "object": "explanation",
                "principal": principal_object(principal),
                "model": card.id,
                "operation": call.operation_name,
                "allowed": _allowed(principal, card.id),
                **work_object(self._prices, card.id, estimate, bound),
                "windows": [
                    asked_window(state, estimate, bound, prices)
                    | {"refusal": _refusal(state, room) if (state, room) in full else None}
                    for state, room in asked_of
                ],
                "storage": [storage_object(state) for state in storage],
                "cache": cache,
                "route": route_object(card, self._readiness.of(card.application_name)),
                "queue": self._queue(card, principal, cache),
                "verdict": _verdict(_allowed(principal, card.id), cache, full),
            }
        )

    def _call(self, exchange: Exchange, asked: ExplainRequest, principal: Principal) -> Call:
        operation = asked.operation
        if (operation is None) == (asked.endpoint is None):
            raise InvalidRequest("say 'endpoint' or 'operation', and not both", "endpoint")
        if operation is None:
            operation = OPERATIONS.get(asked.endpoint or "")
        if operation is None:
            known = ", ".join(OPERATIONS)
            raise InvalidRequest(f"'endpoint' is one of {known}; else say 'operation'", "endpoint")
        return call_of(
            self._catalog,
            operation,
            asked.request,
            tenant=principal.tenant_id,
            request_id=exchange.request_id,
            trace_id=exchange.trace_id,
            endpoint=exchange.endpoint,
            cache=CachePolicy.from_header(asked.cache_control),
        )

    async def _cache(self, principal: Principal, call: Call) -> str:
        if not call.operation.cacheable or not call.cache.write:
            return "NONE"
        if not call.cache.read:
            return "BYPASS"
        key = cache_key(call.model.card, call.operation_name, call.request)
        found = await self._admission.is_cached(principal.tenant_id, key)
        return "HIT" if found else "MISS"

    def _queue(self, card: ModelCard, principal: Principal, cache: str) -> dict[str, Any]:
        """What `x-queue-position` and `x-queue-eta-ms` would say. A cached answer does not wait."""
        hit = cache == "HIT"
        position, wait_s = NO_WAIT if hit else self._turns.outlook(card, principal)
        expected_ms = None if wait_s is None else math.ceil(wait_s * MS_PER_S)
        return {"position": position, "expected_wait_ms": expected_ms}


def _is_full(state: WindowState, asked: int) -> bool:
    """Whether a window is in the way of what is asked of it."""
    return 0 < asked > state.remaining and not state.window.watched


def _refusal(state: WindowState, asked: int) -> str:
    """What a window that is in the way would say."""
    return refused_for(state, asked).message


def _allowed(principal: Principal, model_id: str) -> bool:
    try:
        principal.require_model(model_id)
    except CarillonError:
        return False
    return True


def _verdict(
    allowed: bool,  # noqa: FBT001  # private, one caller
    cache: str,
    full: list[tuple[WindowState, int]],
) -> dict[str, Any]:
    """What admission would say now. A cached answer needs room for the request alone."""
    if not allowed:
        return {"admitted": False, "reason": "this API key does not allow the model"}
    in_the_way = any(cache != "HIT" or state.window.meter is Meter.REQUESTS for state, _ in full)
    if in_the_way:
        return {"admitted": False, "reason": _refusal(*blocking(full))}
    return {"admitted": True, "reason": None}
