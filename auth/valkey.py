"""Admission on Valkey: one Lua script per step, one round trip each.

Place in the path: steps 3 (admit) and 5 (settle). The contract is `auth/admission.py`; the steps
themselves are `auth/scripts/*.lua`. This module packs asks and unpacks replies; it decides
nothing.

When a call fails with StoreUnavailable, its step may have been done all the same (the reply was
lost). A reservation nobody knows of is ended by the sweeper after its lease; settling again is
harmless.

Memory: give the server `maxmemory-policy volatile-ttl`. Epochs, reservations, windows, flights,
claims, counts of log-ins and usage events carry no expiry and are never evicted; what is over is
swept. Cached answers, and those that are kept for a retry, are what is evicted.
"""

import asyncio
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson

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
from auth.pipeline import Argument, Pipeline, Reply
from auth.plans import HOUR_S, ScopedWindows, Window
from auth.scripts import Script
from auth.spans import Span, counted, follows_calendar, reset_ms, span_of
from core.errors import AlreadyCharged, Conflict
from core.work import WorkUnits

ADMIT = Script("meters", "promises", "admit")
SETTLE = Script("meters", "promises", "release", "settle")
RENEW = Script("meters", "renew")
SWEEP = Script("meters", "promises", "release", "sweep")
CLEAR = Script("clear")

DAY_MS = 86_400_000
SWEEP_BATCH = 100
SHORTEST_OUTAGE_MS = 5_000
"""Between two sweeps, however short leases are: shorter pauses are those of a busy machine."""
CLEAR_BATCH = 500
MAX_SHAPES = 4_096
FIRST_POLL_S = 0.005
LONGEST_POLL_S = 0.1
TOO_MANY_REQUESTS = 429
SERVER_FAULT = 500
SUCCESS = range(200, 300)
NO_PROMISE = ("", "")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The response cache of one tenant, or of all."""

    entries: int
    hits: int
    misses: int
    stored: int


class Shape:
    """A tuple of windows, as scripts want it and as replies are read back.

    Where a calendar decides, it is good for the hour that it was made in.
    """

    __slots__ = ("encoded", "made_at", "spans", "windows")

    def __init__(self, windows: tuple[Window, ...], now_s: float) -> None:
        self.windows = windows
        self.spans = tuple((window, span_of(window, now_s)) for window in windows)
        self.encoded = orjson.dumps([_encoded(*pair) for pair in self.spans])
        self.made_at = now_s if any(map(follows_calendar, windows)) else math.inf

    def is_good(self, windows: tuple[Window, ...], now_s: float) -> bool:
        return self.windows is windows and now_s - self.made_at < HOUR_S


def _encoded(window: Window, span: Span) -> tuple[str, Span, int, str, int, int]:
    return (
        *(field_of(window), span, window.limit, window.meter.value),
        *(int(window.watched), int(window.is_budget)),
    )


def field_of(window: Window) -> str:
    """The name of a window inside its scope's hash: limits may change, the count goes on."""
    return f"{window.meter.value}:{window.seconds}"


class ValkeyAdmission:
    """`auth.admission.Admission` on one Valkey server.

    Args:
        store: connection to Valkey.
        prefix: begins every key.
        lease_s: how long a request may run without settling or renewing.
        cache_ttl_s: how long an answer is served from the cache.
        cache_item_bytes: longest body that is cached.
    """

    def __init__(
        self,
        store: Pipeline,
        prefix: str = "carillon",
        lease_s: float = 60.0,
        cache_ttl_s: float = 3_600.0,
        cache_item_bytes: int = 1 << 20,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._lease_ms = int(lease_s * 1000)
        self._cache_ttl_ms = int(cache_ttl_s * 1000)
        self._cache_item_bytes = cache_item_bytes
        self._leases = f"{prefix}:leases"
        self._usage = f"{prefix}:usage"
        self._shapes: dict[int, Shape] = {}

    async def admit(self, ask: Ask) -> Verdict:
        """Check, look up, reserve and write ahead, in one atomic round trip.

        Raises StoreUnavailable; Conflict when the request id is being used already, or when what is
        charged under its `once` still runs; AlreadyCharged when the answer to that is gone.
        """
        tenant = ask.principal.tenant_id
        shapes = [(scope, self._shape(windows)) for scope, windows in ask.scopes]
        arguments: list[Argument] = [
            self._prefix,
            ask.request_id,
            tenant,
            ask.principal.epoch,
            orjson.dumps(ask.units.nonzero()),
            self._lease_ms,
            ask.cache_key or "",
            "1" if ask.read_cache else "0",
            "1" if ask.share else "0",
            _record(ask),
            orjson.dumps(ask.prices) if ask.prices else b"",
            b"" if ask.bound is None else orjson.dumps(ask.bound.nonzero()),
            ask.once or "",
            *(ask.promise or NO_PROMISE),
        ]
        if ask.principal.makers:
            for scope, shape in shapes:
                arguments += (counted_as(scope), shape.encoded)
        else:
            for scope, shape in shapes:
                arguments += (scope, shape.encoded)
        keys = (
            f"{self._prefix}:epoch:{tenant}",
            self._reservation(ask.request_id),
            self._leases,
            self._usage,
        )
        reply = await ADMIT.run(self._store, keys, arguments)
        return _verdict(reply, shapes)

    async def settle(self, settlement: Settlement) -> bool:
        """Replace the estimate by the actual; False when it was settled before (no change).

        Where the lease had run out, for a day, it replaces what was guessed then. A server fault
        or a full queue gives the counted request back as well. Raises StoreUnavailable.
        """
        status, cache = settlement.status_code, settlement.cache
        body, media_type, units = b"", "", b""
        if cache and status in SUCCESS and len(cache.body) <= self._cache_item_bytes:
            body, media_type = cache.body, cache.media_type
            units = orjson.dumps(cache.units.nonzero())
        refund = status >= SERVER_FAULT or status == TOO_MANY_REQUESTS
        settled = await SETTLE.run(
            self._store,
            (
                self._reservation(settlement.request_id),
                self._leases,
                self._usage,
                self._guessed(settlement.request_id),
            ),
            (
                self._prefix,
                settlement.request_id,
                orjson.dumps(settlement.units.nonzero()),
                "1" if refund else "0",
                _outcome(settlement),
                body,
                media_type,
                units,
                self._cache_ttl_ms,
                DAY_MS if cache and status in SUCCESS else 0,
            ),
        )
        return bool(settled)

    async def renew(self, request_id: str, units: WorkUnits) -> None:
        """Extend the lease of a long request and remember the units it has used so far.

        One whose lease had run out has its reservation again.
        """
        await RENEW.run(
            self._store,
            (self._reservation(request_id), self._leases, self._guessed(request_id)),
            (request_id, self._lease_ms, orjson.dumps(units.nonzero())),
        )

    async def forget_once(self, names: Collection[str]) -> None:
        """Forget answers that were remembered under `Ask.once`: whoever asked has them by now.

        Raises StoreUnavailable.
        """
        if names:
            await self._store.call("UNLINK", *(f"{self._prefix}:once:{name}" for name in names))

    async def is_open(self, request_id: str) -> bool:
        """Whether a request is admitted and not settled, but perhaps by a lease that ran out.

        Raises StoreUnavailable.
        """
        names = (self._reservation(request_id), self._guessed(request_id))
        return bool(await self._store.call("EXISTS", *names))

    async def sweep(self) -> list[Abandoned]:
        """Settle the reservations whose lease ran out. Raises StoreUnavailable.

        To be called every few seconds: who does not hear of it for longer takes that for an outage
        of the store, after which nobody is swept for one lease.
        """
        keys = (self._leases, self._usage, f"{self._prefix}:swept")
        outage_ms = max(self._lease_ms // 2, SHORTEST_OUTAGE_MS)
        arguments = (self._prefix, SWEEP_BATCH, self._lease_ms, outage_ms, DAY_MS)
        abandoned: list[Abandoned] = []
        while True:
            ended, *records = await SWEEP.run(self._store, keys, arguments)
            abandoned += map(_abandoned, records[::2], records[1::2])
            if ended < SWEEP_BATCH:
                return abandoned

    async def wait(self, ask: Ask, timeout_s: float) -> bool:
        """Wait until no request identical to `ask` is running; False after `timeout_s`.

        For a caller that was told InFlight: when this returns, ask again.
        """
        key = f"{self._prefix}:flight:{ask.principal.tenant_id}:{ask.cache_key}"
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + timeout_s, FIRST_POLL_S
        while await self._store.call("EXISTS", key):
            if loop.time() + pause_s > deadline:
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)
        return True

    async def standing(self, scopes: ScopedWindows) -> tuple[WindowState, ...]:
        """Where every window stands now; nothing is charged. Raises StoreUnavailable."""
        seconds, micros = await self._store.call("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        replies = await asyncio.gather(*(self._stored(*scoped) for scoped in scopes if scoped[1]))
        shapes = [(scope, self._shape(windows)) for scope, windows in scopes]
        values = [value for reply in replies for value in reply]
        used, position = [], 0
        for _, shape in shapes:
            for _, span in shape.spans:
                stored, count = values[position : position + 2]
                began = int(stored) if stored else None
                used.append(counted(began, int(count or 0), span, now_ms / 1000)[0])
                position += 2
        return states_of(shapes, used, now_ms)

    async def is_cached(self, tenant_id: str, cache_key: str) -> bool:
        """Whether an answer is there; it does not count as a look-up. Raises StoreUnavailable."""
        name = f"{self._prefix}:cache:{tenant_id}:{cache_key}"
        return bool(await self._store.call("EXISTS", name))

    async def cache_stats(self, tenant_id: str | None = None) -> CacheStats:
        """Live entries, and hits and misses since the store began. Raises StoreUnavailable."""
        tenants = [tenant_id] if tenant_id is not None else await self._cache_tenants()
        each = await asyncio.gather(*(self._tenant_cache_stats(tenant) for tenant in tenants))
        return CacheStats(
            entries=sum(stats.entries for stats in each),
            hits=sum(stats.hits for stats in each),
            misses=sum(stats.misses for stats in each),
            stored=sum(stats.stored for stats in each),
        )

    async def cache_clear(self, tenant_id: str | None = None) -> int:
        """Empty one tenant's cache, or every tenant's; how many entries went.

        Answers of requests that are running now will not be cached. Raises StoreUnavailable.
        """
        tenants = [tenant_id] if tenant_id is not None else await self._cache_tenants()
        return sum([await self._clear_tenant(tenant) for tenant in tenants])

    async def _clear_tenant(self, tenant: str) -> int:
        keys = (f"{self._prefix}:cache-index:{tenant}", f"{self._prefix}:cache-cleared:{tenant}")
        arguments = (f"{self._prefix}:cache:{tenant}:", CLEAR_BATCH, DAY_MS)
        total = 0
        while removed := await CLEAR.run(self._store, keys, arguments):
            total += removed
        return total

    async def _cache_tenants(self) -> list[str]:
        members = await self._store.call("SMEMBERS", f"{self._prefix}:cache-tenants")
        return [member.decode() for member in members]

    async def _tenant_cache_stats(self, tenant: str) -> CacheStats:
        seconds, _ = await self._store.call("TIME")
        entries, counts = await asyncio.gather(
            self._store.call(
                "ZCOUNT", f"{self._prefix}:cache-index:{tenant}", int(seconds) * 1000, "+inf"
            ),
            self._store.call(
                "HMGET", f"{self._prefix}:cache-stats:{tenant}", "hits", "misses", "stored"
            ),
        )
        return CacheStats(entries, *(int(count or 0) for count in counts))

    async def _stored(self, scope: str, windows: tuple[Window, ...]) -> Reply:
        fields = [name for w in windows for name in (field_of(w), f"{field_of(w)}:used")]
        name = f"{self._prefix}:window:{counted_as(scope)}"
        return await self._store.call("HMGET", name, *fields)

    def _reservation(self, request_id: str) -> str:
        return f"{self._prefix}:reservation:{request_id}"

    def _guessed(self, request_id: str) -> str:
        return f"{self._prefix}:guessed:{request_id}"

    def _shape(self, windows: tuple[Window, ...]) -> Shape:
        """Known tuples are recognised by identity: hashing them would cost more than the rest."""
        shape, now_s = self._shapes.get(id(windows)), time.time()
        if shape is None or not shape.is_good(windows, now_s):
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            shape = self._shapes[id(windows)] = Shape(windows, now_s)
        return shape


def _record(ask: Ask) -> bytes:
    """What the usage record says from admission on."""
    principal = ask.principal
    return orjson.dumps(
        {
            "tenant_id": principal.tenant_id,
            "key_id": principal.key_id,
            "user_id": principal.user_id,
            "cache": _cache_source(ask),
            "details": ask.details,
            "recalled_from": ask.recalled_from,
        }
    )


def _abandoned(request_id: bytes, record: bytes) -> Abandoned:
    """An ask of before `recalled_from` was known has none."""
    return Abandoned(request_id.decode(), orjson.loads(record).get("recalled_from"))


def _cache_source(ask: Ask) -> str:
    if ask.cache_key is None:
        return "none"
    return "miss" if ask.read_cache else "bypass"


def _outcome(settlement: Settlement) -> bytes:
    return orjson.dumps(
        {
            "status_code": settlement.status_code,
            "error_code": settlement.error_code,
            "error_message": printable(settlement.error_message),
            "response_time_ms": settlement.response_time_ms,
            "ttft_ms": settlement.ttft_ms,
            "device_seconds": round(settlement.device_s, 6),
            "exact": settlement.exact,
            "units": settlement.units.nonzero(),
        }
    )


def printable(text: str | None) -> str | None:
    """`text` on one line. It may quote what a caller sent, and PostgreSQL refuses some of that."""
    if text is None or text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def states_of(
    shapes: Sequence[tuple[str, Shape]], used: Sequence[int], now_ms: int
) -> tuple[WindowState, ...]:
    """Windows with what a reply says of each, in the order that they were asked in."""
    counts = iter(used)
    return tuple(
        WindowState(scope, window, next(counts), reset_ms(span, now_ms))
        for scope, shape in shapes
        for window, span in shape.spans
    )


def _verdict(reply: Reply, shapes: list[tuple[str, Shape]]) -> Verdict:
    kind, now_ms, extra, *used = reply
    if kind == b"stale":
        return Stale()
    if kind == b"duplicate":
        raise Conflict("this request id is already in use")
    if kind == b"running":
        raise Conflict("the same request is still being answered", None, extra / 1000)
    if kind == b"spent":
        raise AlreadyCharged(
            "this was done and charged before; its answer was lost, and was too long"
        )
    if kind == b"in_flight":
        return InFlight(extra)
    windows = states_of(shapes, used, now_ms)
    if kind == b"admitted":
        return Admitted(windows, tuple(windows[number - 1] for number, _ in extra))
    if kind == b"hit":
        body, media_type, units = extra
        return Hit(
            windows, CachedReply(body, media_type.decode(), WorkUnits(**orjson.loads(units)))
        )
    return Refused(windows, *blocking([(windows[number - 1], amount) for number, amount in extra]))


def blocking(full: Sequence[tuple[WindowState, int]]) -> tuple[WindowState, int]:
    """Of full windows and the amounts asked for, the one that a caller waits longest for.

    One that the request could never fit in, even untouched, comes before all: then waiting is
    useless.
    """
    return max(full, key=lambda f: (f[1] > f[0].window.limit, f[0].reset_ms))
