"""Admission and settlement: the two store round trips of every request.

Place in the path: steps 3 and 5. The contract stands here with its vocabulary; the real
implementation is `auth/valkey.py` (one Lua script per step). It does not know models or HTTP.

Reserve-then-settle: admission charges the estimate to every window of every scope in one atomic
step, together with the key-epoch check, the cache look-up and the write-ahead usage event; a
refusal changes nothing. Settlement replaces the estimate by the actual units, once, whoever
calls it first: the gateway, or the model replica after a disconnect. The sweeper of expired leases
guesses: whoever knows better comes after it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from auth.plans import Window
from auth.prices import UnitPrices
from auth.principal import Principal
from core.work import NO_WORK, WorkUnits

MAKER = "maker:"
"""Begins the scope of a key that made the caller's key."""


def counted_as(scope: str) -> str:
    """The scope that counts for `scope`: what a key's work takes of its maker's windows, it takes
    of the same that the maker's own work does.
    """
    return f"key:{scope.removeprefix(MAKER)}" if scope.startswith(MAKER) else scope


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for admission.

    Args:
        scopes: windows to hold, per scope name (`tenant:…`, `user:…`, `key:…`, `maker:…`): all of
            them must have room.
        units: the estimate to reserve.
        bound: the most that it may take, where that is more than the estimate: budgets reserve it,
            rates the estimate.
        cache_key: hash of the whole validated request, or None when it is not cacheable.
        read_cache: False for `Cache-Control: no-cache` (and no-store): the entry is not looked up.
        share: whether an identical request in flight may be waited for (single-flight).
        details: what the usage record says beyond this (endpoint, model, streamed, ...).
        prices: of the model, by unit: what the units cost is counted by windows of money.
    """

    request_id: str
    principal: Principal
    scopes: tuple[tuple[str, tuple[Window, ...]], ...]
    units: WorkUnits
    cache_key: str | None = None
    read_cache: bool = True
    share: bool = True
    details: dict[str, str | int | bool | None] = field(default_factory=dict)
    prices: UnitPrices = field(default_factory=dict)
    bound: WorkUnits | None = None
    once: str | None = None
    """Names the work among all that must be charged once, however often it is asked for."""
    promise: tuple[str, str] | None = None
    """Name and step of the promise that holds room for it: see `auth.promises`."""
    recalled_from: str | None = None
    """The application that knows what the work took where its lease runs out; None for work of
    which only its asker knows what it owes.
    """

    @property
    def most(self) -> WorkUnits:
        """What the work may take at most."""
        return self.units if self.bound is None else self.bound


class WindowState(NamedTuple):
    """Where one window stands after admission (or at refusal). Reset is in milliseconds.

    A tuple: each request makes one for every window, at a third of what a dataclass costs.
    """

    scope: str
    window: Window
    used: int
    reset_ms: int

    @property
    def remaining(self) -> int:
        return max(0, self.window.limit - self.used)


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A stored answer, exactly as it went to the wire the first time."""

    body: bytes
    media_type: str
    units: WorkUnits


@dataclass(frozen=True, slots=True)
class Admitted:
    """Room in every window; the estimate is reserved under the request id until settled."""

    windows: tuple[WindowState, ...]
    would_refuse: tuple[WindowState, ...] = ()
    """Watched windows that are full."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Answered from the cache: counted as a request, charged no units, already settled. Or answered
    before under the same `Ask.once`: counted and charged then.
    """

    windows: tuple[WindowState, ...]
    reply: CachedReply


@dataclass(frozen=True, slots=True)
class InFlight:
    """An identical request of this tenant is running; nothing was charged. Wait, then ask again."""

    retry_after_ms: int


@dataclass(frozen=True, slots=True)
class Refused:
    """No room in `blocking`; nothing was charged."""

    windows: tuple[WindowState, ...]
    blocking: WindowState
    amount: int
    """How much of the blocking window's meter was asked for."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The principal's epoch is not current: identify again. Nothing was charged."""


Verdict = Admitted | Hit | InFlight | Refused | Stale


@dataclass(frozen=True, slots=True)
class Settlement:
    """What really happened to an admitted request.

    Args:
        status_code: HTTP status the client got (499 for a disconnect).
        device_s: seconds that devices worked for it.
        exact: False when `units` is an estimate because the engine's count was lost.
        cache: the reply to store under the ask's cache key, if it may be stored, and to remember
            under its `once`.
    """

    request_id: str
    units: WorkUnits = NO_WORK
    status_code: int = 200
    error_code: str | None = None
    error_message: str | None = None
    """What the caller was told: error texts carry no secrets."""
    response_time_ms: int = 0
    ttft_ms: int | None = None
    device_s: float = 0.0
    exact: bool = True
    cache: CachedReply | None = None


class Abandoned(NamedTuple):
    """A request whose lease ran out: it was settled by a guess, which can still be corrected."""

    request_id: str
    recalled_from: str | None
    """As in its ask."""


class Admission(Protocol):
    """Both steps. Every method raises StoreUnavailable when the store does not answer."""

    async def admit(self, ask: Ask) -> Verdict:
        """Check, look up, reserve and write ahead, in one atomic round trip."""

    async def settle(self, settlement: Settlement) -> bool:
        """Replace the estimate by the actual; False when it was settled before (no change)."""

    async def renew(self, request_id: str, units: WorkUnits) -> None:
        """Extend the lease of a long request and remember the units it has used so far."""
