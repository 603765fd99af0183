"""Quota: what a refusal says, and what happens when a part is down.

Place in the path: step 3. The counting itself is the store's (`auth/valkey.py`).

Fail modes, the one table:

    what is down            requests                              accounting
    Valkey                  503 store_unavailable, Retry-After    nothing admitted, nothing lost
    PostgreSQL              served for known keys; 503 for keys   events wait in Valkey's stream
                            not seen lately (never 401)
    the cache alone         served, as a miss                     unchanged
    the ledger writer       served                                events wait in Valkey's stream
    a gateway replica       HAProxy sends the next one elsewhere  leases settle what it held
    a model replica         503 model_unavailable or a stream     what was delivered is settled
                            that ends with an error event
"""

from auth.admission import Refused
from auth.plans import DAY_S, HOUR_S, MINUTE_S, Meter
from core.errors import BudgetSpent, LimitReached
from core.work import WorkUnits

SPANS = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}


def refusal(verdict: Refused, units: WorkUnits) -> LimitReached:
    """The error for a refused ask: what is full, and when it opens again.

    A window of a day or more is a spent budget: clients are told not to retry soon. So is a
    request that would not fit an empty window: no wait helps it.
    """
    state = verdict.blocking
    window = state.window
    span = SPANS.get(window.seconds, f"{window.seconds} s")
    owner = "this API key" if state.scope.startswith("key:") else "your plan"
    allowance = f"{owner} allows {window.limit} {window.meter} per {span}"
    if window.meter is Meter.TOKENS and units.tokens > window.limit:
        text = f"Request too large: {allowance}, and it may need {units.tokens}. Lower max_tokens."
        return BudgetSpent(text, "max_tokens", state.reset_ms / 1000)
    opens = f"{state.used} used. It opens again in {state.reset_ms / 1000:.0f} s."
    kind = BudgetSpent if window.seconds >= DAY_S else LimitReached
    return kind(f"Rate limit reached: {allowance}, {opens}", None, state.reset_ms / 1000)
