"""Admission in memory: the contract of `auth/admission.py`, in plain Python.

For unit tests of the request path. It passes the same contract tests as `ValkeyAdmission`
(`tests/auth/test_admission.py`). It is not for production: one process, no persistence.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from auth.admission import (
    Admitted,
    Ask,
    CachedReply,
    Hit,
    InFlight,
    Refused,
    Settlement,
    Stale,
    Verdict,
    WindowState,
)
from auth.plans import Meter, ScopedWindows, Window
from core.errors import Conflict
from core.work import NO_WORK, WorkUnits

EPOCH = "epoch-1"
"""The epoch every tenant has until a test sets another."""

Cell = tuple[str, str, int]
"""A counter: scope, meter, seconds."""


@dataclass
class Reservation:
    ask: Ask
    expires_ms: int
    charges: list[tuple[Cell, int, int]]
    """Cell, bucket and amount."""
    leads_flight: bool
    so_far: WorkUnits = NO_WORK


@dataclass
class Entry:
    reply: CachedReply
    expires_ms: int
    hits: int = 0


@dataclass
class Event:
    """What the usage stream would carry."""

    kind: str
    request_id: str
    ask: Ask
    units: WorkUnits = NO_WORK
    settlement: Settlement | None = None


@dataclass
class InMemoryAdmission:
    """A test drives `now_ms`; by default time stands still."""

    lease_s: float = 60.0
    cache_ttl_s: float = 3_600.0
    now_ms: int = 1_795_000_000_000
    clock: Callable[[], int] | None = None
    epochs: dict[str, str] = field(default_factory=lambda: defaultdict(lambda: EPOCH))
    events: list[Event] = field(default_factory=list)
    reservations: dict[str, Reservation] = field(default_factory=dict)
    cache: dict[tuple[str, str], Entry] = field(default_factory=dict)
    flights: dict[tuple[str, str], str] = field(default_factory=dict)
    counters: dict[Cell, tuple[int, int]] = field(default_factory=dict)
    """Bucket and count of each window."""

    async def admit(self, ask: Ask) -> Verdict:
        if self.epochs[ask.principal.tenant_id] != ask.principal.epoch:
            return Stale()
        if ask.request_id in self.reservations:
            raise Conflict("this request id is already in use")
        if self._full(ask, Meter.REQUESTS):
            return self._refused(ask)
        found = self._look_up(ask)
        if found is not None:
            return found
        return self._refused(ask) if self._full(ask, Meter.TOKENS) else self._reserve(ask)

    async def settle(self, settlement: Settlement) -> bool:
        status = settlement.status_code
        refund = status >= 500 or status == 429
        reservation = self._release(settlement.request_id, settlement.units, refund)
        if reservation is None:
            return False
        ask = reservation.ask
        if settlement.cache and ask.cache_key is not None and 200 <= status < 300:
            expires_ms = self._now() + int(self.cache_ttl_s * 1000)
            name = (ask.principal.tenant_id, ask.cache_key)
            self.cache[name] = Entry(settlement.cache, expires_ms)
        event = Event("settled", ask.request_id, ask, settlement.units, settlement)
        self.events.append(event)
        return True

    async def renew(self, request_id: str, units: WorkUnits) -> None:
        reservation = self.reservations.get(request_id)
        if reservation is not None:
            reservation.expires_ms = self._now() + int(self.lease_s * 1000)
            reservation.so_far = units

    async def sweep(self) -> int:
        now = self._now()
        expired = [(i, r) for i, r in self.reservations.items() if r.expires_ms <= now]
        for request_id, reservation in expired:
            self._release(request_id, reservation.so_far, refund=False)
            event = Event("abandoned", request_id, reservation.ask, reservation.so_far)
            self.events.append(event)
        return len(expired)

    async def wait(self, ask: Ask, timeout_s: float) -> bool:
        """Look often; real time passes here even while the fake's clock stands still."""
        for _ in range(int(timeout_s * 1000)):
            if (ask.principal.tenant_id, ask.cache_key or "") not in self.flights:
                return True
            await asyncio.sleep(0.001)
        return False

    async def standing(self, scopes: ScopedWindows) -> tuple[WindowState, ...]:
        return self._states(scopes)

    async def cache_clear(self, tenant_id: str | None = None) -> int:
        names = [name for name in self.cache if tenant_id in (None, name[0])]
        for name in names:
            del self.cache[name]
        return len(names)

    def _look_up(self, ask: Ask) -> Hit | InFlight | None:
        if ask.cache_key is None or not ask.read_cache:
            return None
        name = (ask.principal.tenant_id, ask.cache_key)
        entry = self._live(name)
        if entry is not None:
            entry.hits += 1
            self._charge(ask, 0)
            self.events.append(Event("hit", ask.request_id, ask))
            return Hit(self._states(ask.scopes), entry.reply)
        leader = self.reservations.get(self.flights.get(name, ""))
        if ask.share and leader is not None and leader.expires_ms > self._now():
            return InFlight(leader.expires_ms - self._now())
        return None

    def _reserve(self, ask: Ask) -> Admitted:
        leads = ask.cache_key is not None and ask.read_cache and ask.share
        if leads:
            self.flights[ask.principal.tenant_id, ask.cache_key or ""] = ask.request_id
        expires_ms = self._now() + int(self.lease_s * 1000)
        charges = self._charge(ask, ask.units.tokens)
        self.reservations[ask.request_id] = Reservation(ask, expires_ms, charges, leads)
        self.events.append(Event("admitted", ask.request_id, ask))
        return Admitted(self._states(ask.scopes))

    def _now(self) -> int:
        return self.clock() if self.clock is not None else self.now_ms

    def _live(self, name: tuple[str, str]) -> Entry | None:
        entry = self.cache.get(name)
        return entry if entry is not None and entry.expires_ms > self._now() else None

    def _cells(self, scopes: ScopedWindows) -> list[tuple[str, Window, Cell]]:
        return [
            (scope, window, (scope, window.meter.value, window.seconds))
            for scope, windows in scopes
            for window in windows
        ]

    def _used(self, cell: Cell) -> int:
        bucket, count = self.counters.get(cell, (-1, 0))
        return count if bucket == self._bucket(cell) else 0

    def _bucket(self, cell: Cell) -> int:
        return self._now() // (cell[2] * 1000)

    def _states(self, scopes: ScopedWindows) -> tuple[WindowState, ...]:
        now = self._now()
        return tuple(
            WindowState(scope, w, self._used(cell), w.seconds * 1000 - now % (w.seconds * 1000))
            for scope, w, cell in self._cells(scopes)
        )

    def _cost(self, window: Window, tokens: int) -> int:
        return 1 if window.meter is Meter.REQUESTS else tokens

    def _full(self, ask: Ask, meter: Meter) -> bool:
        cost = 1 if meter is Meter.REQUESTS else ask.units.tokens
        return cost > 0 and any(
            window.meter is meter and self._used(cell) + cost > window.limit
            for _, window, cell in self._cells(ask.scopes)
        )

    def _refused(self, ask: Ask) -> Refused:
        states, tokens = self._states(ask.scopes), ask.units.tokens
        full = [
            (self._cost(s.window, tokens) > s.window.limit, s.reset_ms, s)
            for s in states
            if self._cost(s.window, tokens)
            and s.used + self._cost(s.window, tokens) > s.window.limit
        ]
        return Refused(states, max(full, key=lambda ranked: ranked[:2])[2])

    def _charge(self, ask: Ask, tokens: int) -> list[tuple[Cell, int, int]]:
        charges = []
        for _, window, cell in self._cells(ask.scopes):
            amount = self._cost(window, tokens)
            self.counters[cell] = (self._bucket(cell), self._used(cell) + amount)
            charges.append((cell, self._bucket(cell), amount))
        return charges

    def _release(self, request_id: str, units: WorkUnits, refund: bool) -> Reservation | None:
        reservation = self.reservations.pop(request_id, None)
        if reservation is None:
            return None
        for cell, bucket, reserved in reservation.charges:
            is_request = cell[1] == Meter.REQUESTS.value
            actual = (0 if refund else 1) if is_request else units.tokens
            difference = actual - reserved
            if difference > 0 or bucket == self._bucket(cell):
                count = max(0, self._used(cell) + difference)
                self.counters[cell] = (self._bucket(cell), count)
        ask = reservation.ask
        name = (ask.principal.tenant_id, ask.cache_key or "")
        if reservation.leads_flight and self.flights.get(name) == request_id:
            del self.flights[name]
        return reservation
