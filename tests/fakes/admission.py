"""Admission in memory: the contract of `auth/admission.py`, in plain Python.

For unit tests of the request path. It passes the same contract tests as `ValkeyAdmission`
(`tests/auth/test_admission.py`). It is not for production: one process, no persistence.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from auth.admission import (
    Abandoned,
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
    counted_as,
)
from auth.amounts import amount_of, reserved_of
from auth.plans import Meter, ScopedWindows, Window
from auth.promises import PromisedStep
from auth.spans import counted, reset_ms, shortest, span_of
from auth.valkey import blocking
from core.errors import Conflict
from core.work import NO_WORK, WorkUnits

EPOCH = "epoch-1"
"""The epoch every tenant has until a test sets another."""

Cell = tuple[str, Window]
"""A scope and one of its windows."""
Counter = tuple[str, Meter, int]
"""Scope, meter and length: limits and time zones may change, the count goes on."""


@dataclass
class Reservation:
    ask: Ask
    expires_ms: int
    charges: list[tuple[Cell, int, int]]
    """Cell, bucket and amount."""
    leads_flight: bool
    taken: dict[Cell, int] = field(default_factory=dict)
    """Out of a promise."""
    so_far: WorkUnits = NO_WORK


@dataclass
class Promise:
    """What a run holds of its budgets for calls to come."""

    held: dict[Cell, tuple[int, int]]
    """Bucket and amount."""
    steps: dict[str, PromisedStep]
    calls: dict[str, int]


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
    counters: dict[Counter, tuple[int, int]] = field(default_factory=dict)
    """When its span began, and the count."""

    guessed: dict[str, Reservation] = field(default_factory=dict)
    """What is left of reservations whose lease ran out."""
    once: dict[str, CachedReply] = field(default_factory=dict)
    """Replies to what is charged once."""
    by: dict[str, str] = field(default_factory=dict)
    """The request that does what is charged once."""
    promises: dict[str, Promise] = field(default_factory=dict)

    async def admit(self, ask: Ask) -> Verdict:
        if self.epochs[ask.principal.tenant_id] != ask.principal.epoch:
            return Stale()
        if ask.request_id in self.reservations:
            raise Conflict("this request id is already in use")
        if ask.once in self.once:
            return Hit(self._states(ask.scopes), self.once[ask.once])
        held = self._share(ask.promise)
        holder = self.reservations.get(self.by.get(ask.once or "", ""))
        if holder is not None and holder.expires_ms > self._now():
            raise Conflict("the same request is still being answered", None, 1.0)
        full = [entry for entry in self._full(ask, held) if not entry[0].window.watched]
        if any(state.window.meter is Meter.REQUESTS for state, _ in full):
            return Refused(self._states(ask.scopes), *blocking(full))
        found = self._look_up(ask)
        if found is not None:
            return found
        if full:
            return Refused(self._states(ask.scopes), *blocking(full))
        return self._reserve(ask)

    async def settle(self, settlement: Settlement) -> bool:
        status = settlement.status_code
        refund = status >= 500 or status == 429
        request_id = settlement.request_id
        found = self.reservations.get(request_id) or self.guessed.get(request_id)
        if found is None:
            return False
        ask = found.ask
        taken_over = ask.once is not None and self.by.get(ask.once) != request_id
        if taken_over:
            settlement = replace(settlement, units=NO_WORK)
        self._release(request_id, settlement.units, refund)
        if settlement.cache and ask.cache_key is not None and 200 <= status < 300:
            expires_ms = self._now() + int(self.cache_ttl_s * 1000)
            name = (ask.principal.tenant_id, ask.cache_key)
            self.cache[name] = Entry(settlement.cache, expires_ms)
        if ask.once is not None and not taken_over:
            if settlement.cache and 200 <= status < 300:
                self.once[ask.once] = settlement.cache
            else:
                del self.by[ask.once]
        event = Event("settled", ask.request_id, ask, settlement.units, settlement)
        self.events.append(event)
        return True

    async def renew(self, request_id: str, units: WorkUnits) -> None:
        if request_id in self.guessed:
            self._reserve_again(request_id)
        reservation = self.reservations.get(request_id)
        if reservation is not None:
            reservation.expires_ms = self._now() + int(self.lease_s * 1000)
            reservation.so_far = units

    async def forget_once(self, names: Collection[str]) -> None:
        for name in names:
            self.once.pop(name, None)

    async def is_open(self, request_id: str) -> bool:
        return request_id in self.reservations or request_id in self.guessed

    async def sweep(self) -> list[Abandoned]:
        now = self._now()
        expired = [(i, r) for i, r in self.reservations.items() if r.expires_ms <= now]
        for request_id, reservation in expired:
            self._release(request_id, reservation.so_far, refund=False)
            self.guessed[request_id] = reservation
            event = Event("abandoned", request_id, reservation.ask, reservation.so_far)
            self.events.append(event)
        return [Abandoned(i, r.ask.recalled_from) for i, r in expired]

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

    async def promise(
        self, name: str, scopes: ScopedWindows, steps: Sequence[PromisedStep], lasts_s: float
    ) -> Refused | None:
        if name in self.promises:
            return None
        full, held = [], {}
        for cell in self._cells(scopes):
            if cell[1].is_budget:
                used, began = self._counted(cell)
                amount = sum(_asked(cell[1].meter, step, step.units, step.calls) for step in steps)
                if not cell[1].watched and amount and used + amount > cell[1].limit:
                    full.append((self._state(cell), amount))
                held[cell] = (began, amount)
        if full:
            return Refused(self._states(scopes), *blocking(full))
        for cell, (_, amount) in held.items():
            self._add(cell, amount)
        by_name = {step.name: step for step in steps}
        calls = {step.name: step.calls for step in steps}
        self.promises[name] = Promise(held, by_name, calls)
        return None

    async def forget(self, name: str, step: str) -> None:
        if name in self.promises:
            self._take((name, step), self.promises[name].calls.get(step, 0))

    async def end(self, name: str) -> None:
        promise = self.promises.pop(name, None)
        for cell, (began, amount) in promise.held.items() if promise else ():
            if self._counted(cell)[1] == began:
                self._add(cell, -amount)

    def _share(self, promise: tuple[str, str] | None, calls: int = 1) -> dict[Cell, int]:
        """What is held for so many calls of a step, where the span lasts that it is of."""
        name, step = promise or ("", "")
        found = self.promises.get(name)
        if found is None or found.calls.get(step, 0) < 1:
            return {}
        one = found.steps[step]
        return {
            cell: min(amount, calls * _asked(cell[1].meter, one, one.one, 1))
            for cell, (began, amount) in found.held.items()
            if self._counted(cell)[1] == began
        }

    def _take(self, name: tuple[str, str], calls: int = 1) -> dict[Cell, int]:
        """Take it out of the promise and of the windows."""
        share = self._share(name, calls)
        promise = self.promises.get(name[0])
        if promise is not None and promise.calls.get(name[1], 0):
            promise.calls[name[1]] -= calls
        self._hold(name[0], share, -1)
        return share

    def _hold(self, name: str, share: dict[Cell, int], sign: int) -> None:
        for cell, amount in share.items():
            began, left = self.promises[name].held[cell]
            self.promises[name].held[cell] = (began, left + sign * amount)
            self._add(cell, sign * amount)

    def _add(self, cell: Cell, amount: int) -> None:
        used, began = self._counted(cell)
        self.counters[_counter(cell)] = (began, max(0, used + amount))

    def _look_up(self, ask: Ask) -> Hit | InFlight | None:
        if ask.cache_key is None or not ask.read_cache:
            return None
        name = (ask.principal.tenant_id, ask.cache_key)
        entry = self._live(name)
        if entry is not None:
            entry.hits += 1
            if ask.promise is not None:
                self._take(ask.promise)
            self._charge(ask, with_work=False)
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
        taken = self._take(ask.promise) if ask.promise is not None else {}
        would_refuse = tuple(state for state, _ in self._full(ask, {}) if state.window.watched)
        charges = self._charge(ask, with_work=True)
        self.reservations[ask.request_id] = Reservation(ask, expires_ms, charges, leads, taken)
        if ask.once is not None:
            self.by[ask.once] = ask.request_id
        self.events.append(Event("admitted", ask.request_id, ask))
        return Admitted(self._states(ask.scopes), would_refuse)

    def _reserve_again(self, request_id: str) -> None:
        reservation = self.reservations[request_id] = self.guessed.pop(request_id)
        charges, reservation.charges = reservation.charges, []
        ask = reservation.ask
        for cell, bucket, guessed in charges:
            used, began = self._counted(cell)
            reserved = max(guessed, reserved_of(cell[1], ask.units, ask.most, ask.prices))
            if began - bucket >= shortest(span_of(cell[1], began)):
                reserved = guessed
            self.counters[_counter(cell)] = (began, used + reserved - guessed)
            reservation.charges.append((cell, bucket, reserved))

    def _now(self) -> int:
        return self.clock() if self.clock is not None else self.now_ms

    def _live(self, name: tuple[str, str]) -> Entry | None:
        entry = self.cache.get(name)
        return entry if entry is not None and entry.expires_ms > self._now() else None

    def _cells(self, scopes: ScopedWindows) -> list[Cell]:
        return [(scope, window) for scope, windows in scopes for window in windows]

    def _used(self, cell: Cell) -> int:
        return self._counted(cell)[0]

    def _counted(self, cell: Cell) -> tuple[int, int]:
        """The count, and when its span began."""
        now_s = self._now() / 1000
        began, count = self.counters.get(_counter(cell), (None, 0))
        return counted(began, count, span_of(cell[1], now_s), now_s)

    def _states(self, scopes: ScopedWindows) -> tuple[WindowState, ...]:
        return tuple(self._state(cell) for cell in self._cells(scopes))

    def _state(self, cell: Cell) -> WindowState:
        scope, window = cell
        now_ms = self._now()
        span = span_of(window, now_ms / 1000)
        return WindowState(scope, window, self._used(cell), reset_ms(span, now_ms))

    def _full(self, ask: Ask, held: dict[Cell, int]) -> list[tuple[WindowState, int]]:
        found = []
        for cell in self._cells(ask.scopes):
            amount = reserved_of(cell[1], ask.units, ask.most, ask.prices)
            if amount and self._used(cell) - held.get(cell, 0) + amount > cell[1].limit:
                found.append((self._state(cell), amount))
        return found

    def _charge(self, ask: Ask, *, with_work: bool) -> list[tuple[Cell, int, int]]:
        charges = []
        for cell in self._cells(ask.scopes):
            charged = with_work or cell[1].meter is Meter.REQUESTS
            amount = reserved_of(cell[1], ask.units, ask.most, ask.prices) if charged else 0
            used, began = self._counted(cell)
            self.counters[_counter(cell)] = (began, used + amount)
            charges.append((cell, began, amount))
        return charges

    def _release(self, request_id: str, units: WorkUnits, refund: bool) -> Reservation | None:
        reservation = self.reservations.pop(request_id, None) or self.guessed.pop(request_id, None)
        if reservation is None:
            return None
        charges, reservation.charges = reservation.charges, []
        for cell, bucket, reserved in charges:
            meter = cell[1].meter
            actual = amount_of(meter, units, reservation.ask.prices)
            if meter is Meter.CONCURRENCY or (meter is Meter.REQUESTS and refund):
                actual = 0
            difference = actual - reserved
            reservation.charges.append((cell, bucket, actual))
            used, began = self._counted(cell)
            if difference > 0 or began - bucket < shortest(span_of(cell[1], began)):
                self.counters[_counter(cell)] = (began, max(0, used + difference))
        ask = reservation.ask
        if refund and reservation.taken and ask.promise and ask.promise[0] in self.promises:
            self._hold(ask.promise[0], reservation.taken, 1)
            self.promises[ask.promise[0]].calls[ask.promise[1]] += 1
        name = (ask.principal.tenant_id, ask.cache_key or "")
        if reservation.leads_flight and self.flights.get(name) == request_id:
            del self.flights[name]
        return reservation


def _asked(meter: Meter, step: PromisedStep, units: WorkUnits, calls: int) -> int:
    return calls if meter is Meter.REQUESTS else amount_of(meter, units, step.prices)


def _counter(cell: Cell) -> Counter:
    scope, window = cell
    return counted_as(scope), window.meter, window.seconds
