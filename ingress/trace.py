"""The trace of a refusal: which step said no, to whom, on what grounds, and what else applied.

Place in the path: put on the error by the step that refuses, shown by `ingress.rendering` as
`error.carillon`, which clients of the dialect ignore. Its words are those of `POST /v1/explain`. It
tells a caller of itself alone, asks no store, and is made for refusals only: a request that is
served pays nothing for it.
"""

import time
from typing import Any, TypeVar

from auth.admission import Ask, Refused, WindowState
from auth.amounts import reserved_of
from auth.plans import NANO, Meter
from auth.prices import PriceBook, UnitPrices, money_of
from auth.principal import Principal, Scope
from core.errors import CarillonError
from core.model import ModelCard
from core.work import WorkUnits
from ingress.call import Call
from ingress.readiness import ApplicationState
from ingress.standing import window_object

E = TypeVar("E", bound=CarillonError)
MS_PER_S = 1000


def traced(error: E, step: str, **facts: Any) -> E:
    """`error`, which now says which step refused and why, unless an earlier step has said so."""
    if error.trace is None:
        error.trace = {"step": step} | facts
    return error


def lacking(error: E, principal: Principal, scope: Scope) -> E:
    """`error` of step 2, for a known caller without the scope."""
    return traced(error, "identify", principal=principal_object(principal), needs=scope.value)


def forbidden(error: E, principal: Principal, call: Call) -> E:
    """`error` of step 3, for a model that the caller may not use."""
    return traced(
        error, "admit", principal=principal_object(principal), **_call(call), allowed=False
    )


def unasked(error: E, call: Call, ask: Ask, book: PriceBook) -> E:
    """`error` of step 3 without a verdict: what was asked for is known, no more."""
    return traced(error, "admit", **_asked(call, ask, book))


def refused(error: E, call: Call, ask: Ask, verdict: Refused, book: PriceBook) -> E:
    """`error` of step 3, for a full window: that window, and every other."""
    facts = _asked(call, ask, book) | {"cache": _cache(ask, verdict)}
    return traced(error, "admit", **facts, **windows(verdict, ask.units, ask.most, ask.prices))


def undispatched(
    error: E, call: Call, ask: Ask, book: PriceBook, state: ApplicationState | None
) -> E:
    """`error` of step 4: a full queue, or a model that is not there."""
    route = route_object(call.model.card, state)
    return traced(error, "dispatch", **_asked(call, ask, book), route=route)


def windows(
    verdict: Refused, estimate: WorkUnits, bound: WorkUnits, prices: UnitPrices
) -> dict[str, Any]:
    """The window that refuses, and all of them as they stand."""
    full = verdict.blocking
    return {
        "limit": _limit(full, verdict.amount),
        "windows": [asked_window(state, estimate, bound, prices) for state in verdict.windows],
    }


def asked_window(
    state: WindowState, estimate: WorkUnits, bound: WorkUnits, prices: UnitPrices
) -> dict[str, Any]:
    """A window, and how much of it a request asks for."""
    return window_object(state, reserved_of(state.window, estimate, bound, prices))


def principal_object(principal: Principal) -> dict[str, Any]:
    """Who is calling."""
    return {
        "tenant_id": principal.tenant_id,
        "key_id": principal.key_id,
        "user_id": principal.user_id,
        "plan": principal.plan,
        "tier": principal.tier,
        "time_zone": principal.time_zone,
        "scopes": sorted(principal.scopes),
    }


def work_object(
    book: PriceBook, model_id: str, estimate: WorkUnits, bound: WorkUnits
) -> dict[str, Any]:
    """What a request usually takes, which is reserved, and at most; and what both cost."""
    prices = book.of(model_id)
    return {
        "estimate": estimate.nonzero(),
        "bound": bound.nonzero(),
        "price": {
            "estimate": money_of(estimate, prices) / NANO,
            "at_most": money_of(bound, prices) / NANO,
            "currency": book.currency,
            "prices": book.version,
        },
    }


def route_object(card: ModelCard, state: ApplicationState | None) -> dict[str, Any]:
    """Which application is called, and how it is."""
    serving = state is not None and state.serving
    asleep = state is not None and state.asleep
    return {
        "application": card.application_name,
        "status": "not deployed" if state is None else state.status.lower(),
        "replicas": 0 if state is None else state.replicas,
        "asleep": asleep,
        "expected_wait_s": 0.0 if serving else card.wake_s if asleep else None,
    }


def _call(call: Call) -> dict[str, Any]:
    return {"model": call.model.card.id, "operation": call.operation_name}


def _asked(call: Call, ask: Ask, book: PriceBook) -> dict[str, Any]:
    return {
        "principal": principal_object(ask.principal),
        **_call(call),
        **work_object(book, call.model.card.id, ask.units, ask.most),
    }


def _limit(state: WindowState, asked: int) -> dict[str, Any]:
    """A window, with the time at which it opens anew; what runs at once has none."""
    opens = time.time() + state.reset_ms / MS_PER_S
    timed = state.window.meter is not Meter.CONCURRENCY
    return window_object(state, asked) | {"resets_at": round(opens, 3) if timed else None}


def _cache(ask: Ask, verdict: Refused) -> str | None:
    """What was found there. Without room for a request, admission does not look: None."""
    if ask.cache_key is None:
        return "NONE"
    if not ask.read_cache:
        return "BYPASS"
    unlooked = any(
        state.window.meter is Meter.REQUESTS and not state.window.watched and not state.remaining
        for state in verdict.windows
    )
    return None if unlooked else "MISS"
