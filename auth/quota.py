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
    all gateway replicas    Ray's proxies: 500, 503, or silence   leases settle what they held
    a model replica         503 model_unavailable or a stream     what was delivered is settled
                            that ends with an error event
"""

from auth.admission import Refused, WindowState
from auth.plans import DAY_S, HOUR_S, MINUTE_S, MONTH_S, NANO, Meter, Window
from auth.storage import StorageState
from core.errors import BudgetSpent, LimitReached, StorageFull

SPANS = {MINUTE_S: "minute", HOUR_S: "hour", DAY_S: "day", MONTH_S: "month"}
OWNERS = {
    "tenant": "your plan",
    "user": "your plan, for each user,",
    "key": "this API key",
    "maker": "the API key that made this one",
}
STORAGES = {
    "tenant": "the plan's storage",
    "user": "the storage of each user",
    "key": "the storage of this API key",
    "maker": "the storage of the API key that made this one",
}
RUNNING_RETRY_S = 1.0
"""When to ask again where what runs at this moment must end first."""


def refusal(verdict: Refused) -> LimitReached:
    """The error for a refused ask: what is full, and when it opens again.

    A window of a day or more is a spent budget: clients are told not to retry soon. So is a
    request that would not fit an empty window: no wait helps it.
    """
    return refused_for(verdict.blocking, verdict.amount)


def refused_for(state: WindowState, amount: int) -> LimitReached:
    """What a window says to a request for more than it has left."""
    window = state.window
    owner = OWNERS.get(state.scope.partition(":")[0], "your plan")
    allowance = f"{owner} allows {described(window)}"
    if window.meter is Meter.CONCURRENCY:
        text = f"Rate limit reached: {allowance}. Try again when one of them has ended."
        return LimitReached(text, None, RUNNING_RETRY_S)
    opens_s = state.reset_ms / 1000
    if amount > window.limit:
        wanted = _amount(window, amount)
        text = f"Request too large: {allowance}, and it may need {wanted}."
        if window.meter is not Meter.TOKENS:
            return BudgetSpent(text, None, opens_s)
        return BudgetSpent(f"{text} Lower max_tokens.", "max_tokens", opens_s)
    used = f"{_amount(window, state.used)} used. It opens again in {opens_s:.0f} s."
    kind = BudgetSpent if window.seconds >= DAY_S else LimitReached
    return kind(f"Rate limit reached: {allowance}, {used}", None, opens_s)


def described(window: Window) -> str:
    """A window in words: `1000 tokens per day`, `3 requests at once`."""
    amount = _amount(window, window.limit)
    if window.meter is Meter.CONCURRENCY:
        return f"{amount} at once"
    return f"{amount} per {SPANS.get(window.seconds, f'{window.seconds} s')}"


def storage_refusal(state: StorageState, size: int = 0, kept: str = "media") -> StorageFull:
    """The error for what somebody has no room for; `size` where it is known, in bytes.

    Args:
        kept: what has to be deleted to make room.
    """
    used, limit = state.used, state.limit
    text = f"{STORAGES[state.scope]} is full: {used} of {limit} bytes are used"
    more = f" and {size} more do not fit" if size else ""
    error = StorageFull(f"{text}{more}; delete {kept} to make room")
    full = {"scope": state.scope, "meter": "storage_bytes", "limit": limit, "used": used}
    error.trace = {"step": "admit", "limit": full | {"asked": size or None, "resets_at": None}}
    return error


def _amount(window: Window, amount: int) -> str:
    """An amount with its unit. Money is in units of the price book's currency."""
    if window.meter is Meter.MONEY:
        return f"{amount / NANO:.6g} of money"
    if window.meter is Meter.CONCURRENCY:
        return f"{amount} requests"
    return f"{amount} {window.meter}"
