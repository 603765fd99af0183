"""What the admission tests stand on: asks that are easy to write, and a store to inspect."""

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

from auth.admission import Abandoned, Ask, CachedReply, Settlement, Verdict, WindowState
from auth.pipeline import Pipeline
from auth.plans import DAY_S, Meter, ScopedWindows, Window
from auth.principal import Principal, Scope
from auth.promises import Promises, ValkeyPromises
from auth.valkey import ValkeyAdmission
from core.work import WorkUnits
from tests.fakes.admission import EPOCH, InMemoryAdmission

_numbers = itertools.count(1)
REPLY = CachedReply(b'{"answer": 42}', "application/json", WorkUnits(8, 0, 4))


def requests(limit: int, seconds: int = DAY_S) -> Window:
    return Window(Meter.REQUESTS, seconds, limit)


def tokens(limit: int, seconds: int = DAY_S) -> Window:
    return Window(Meter.TOKENS, seconds, limit)


def ask_of(
    *windows: Window, tenant: str = "t1", units: int = 10, epoch: str = EPOCH, **more: Any
) -> Ask:
    """An ask for `units` tokens against the tenant's `windows`."""
    principal = Principal(tenant, f"key-of-{tenant}", "test", epoch, frozenset(Scope))
    more.setdefault("scopes", ((f"tenant:{tenant}", windows),))
    more.setdefault("request_id", f"req-{next(_numbers)}")
    return Ask(principal=principal, units=WorkUnits(input_tokens=units), **more)


def settled(ask: Ask, units: int | None = None, **more: Any) -> Settlement:
    """A settlement of `ask`, by default with exactly the estimated units."""
    actual = ask.units if units is None else WorkUnits(input_tokens=units)
    return Settlement(ask.request_id, actual, **more)


class FullAdmission(Protocol):
    """The contract, and what both implementations offer beyond it."""

    async def admit(self, ask: Ask) -> Verdict: ...
    async def settle(self, settlement: Settlement) -> bool: ...
    async def renew(self, request_id: str, units: WorkUnits) -> None: ...
    async def is_open(self, request_id: str) -> bool: ...
    async def sweep(self) -> list[Abandoned]: ...
    async def wait(self, ask: Ask, timeout_s: float) -> bool: ...
    async def standing(self, scopes: ScopedWindows) -> tuple[WindowState, ...]: ...
    async def cache_clear(self, tenant_id: str | None = None) -> int: ...


class World(Protocol):
    """An admission and the knobs a test needs, whatever store is behind it."""

    @property
    def admission(self) -> FullAdmission: ...
    @property
    def promises(self) -> Promises: ...

    async def set_epoch(self, tenant: str, epoch: str) -> None: ...
    async def contents(self) -> Any:
        """Everything stored, to compare before and after."""

    async def expire(self, request_id: str) -> None:
        """Let the lease of one reservation run out now."""

    async def events(self) -> list[tuple[str, str]]:
        """Kind and request id of every usage event so far."""


@dataclass
class FakeWorld:
    admission: InMemoryAdmission

    @property
    def promises(self) -> Promises:
        return self.admission

    async def set_epoch(self, tenant: str, epoch: str) -> None:
        self.admission.epochs[tenant] = epoch

    async def contents(self) -> Any:
        fake = self.admission
        return repr(
            (fake.counters, fake.reservations, fake.cache, fake.flights, fake.events, fake.promises)
        )

    async def expire(self, request_id: str) -> None:
        self.admission.reservations[request_id].expires_ms = self.admission.now_ms

    async def events(self) -> list[tuple[str, str]]:
        return [(event.kind, event.request_id) for event in self.admission.events]


@dataclass
class ValkeyWorld:
    admission: ValkeyAdmission
    store: Pipeline
    prefix: str

    @property
    def promises(self) -> Promises:
        return ValkeyPromises(self.store, self.prefix)

    async def set_epoch(self, tenant: str, epoch: str) -> None:
        await self.store.call("SET", f"{self.prefix}:epoch:{tenant}", epoch)

    async def keys(self) -> list[bytes]:
        keys, cursor = [], b"0"
        while True:
            cursor, found = await self.store.call(
                "SCAN", cursor, "MATCH", f"{self.prefix}:*", "COUNT", 1000
            )
            keys += found
            if cursor == b"0":
                return sorted(set(keys))

    async def contents(self) -> Any:
        return {
            key: (
                await self.store.call("DUMP", key),
                await self.store.call("PEXPIRETIME", key),
            )
            for key in await self.keys()
        }

    async def expire(self, request_id: str) -> None:
        await self.store.call("ZADD", f"{self.prefix}:leases", "XX", 1, request_id)

    async def events(self) -> list[tuple[str, str]]:
        entries = await self.store.call("XRANGE", f"{self.prefix}:usage", "-", "+")
        events = [dict(zip(v[::2], v[1::2], strict=True)) for _, v in entries]
        return [(e[b"event"].decode(), e[b"id"].decode()) for e in events]


async def used(admission: FullAdmission, ask: Ask) -> list[int]:
    """The count in each window of `ask`, in order."""
    return [state.used for state in await admission.standing(ask.scopes)]
