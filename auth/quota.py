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
from auth.plans import DAY_S, HOUR_S, MINUTE_S
from core.errors import BudgetSpent, LimitReached


def refusal(verdict: Refused) -> LimitReached:
    """The error for a refused ask: what is full, and when it opens again.

    A window of a day or more is a spent budget: clients are told not to retry soon.
    """
    state = verdict.blocking
    window = state.window
    span = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day"}.get(
        window.seconds, f"{window.seconds} s"
    )
    owner = "this API key" if state.scope.startswith("key:") else "your plan"
    text = (
        f"Rate limit reached: {owner} allows {window.limit} {window.meter} per {span}, "
        f"{state.used} used. It opens again in {state.reset_ms / 1000:.0f} s."
    )
    kind = BudgetSpent if window.seconds >= DAY_S else LimitReached
    return kind(text, None, state.reset_ms / 1000)
