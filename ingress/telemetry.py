"""Metrics and the access log.

Place in the path: told by `ingress.path` what became of calls, and by `ingress.endpoint` of every
other request; it decides nothing. Counts gather in plain dictionaries and reach Ray's metrics once
a second, because one Ray metric call costs as much as a tenth of a whole request. Histograms are
counters with an `le` tag, as Prometheus defines them, for the same reason: Ray's own take one
observation at a time.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections import Counter as Tally
from typing import Protocol

from ray.serve import metrics
from starlette.websockets import WebSocket

from auth.admission import Admitted, Hit, Refused, Verdict, WindowState
from core.work import NO_WORK, OTHER_UNITS, WorkUnits
from ingress.access_log import AccessLog
from ingress.call import Call
from ingress.exchange import TRACE_ID_LENGTH, Exchange

FLUSH_S = 1.0
BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)
UPPER_BOUNDS = (*(str(bound) for bound in BUCKETS_MS), "+Inf")

logger = logging.getLogger("ray.serve")


class Telemetry(Protocol):
    """What the request path reports."""

    def admitted(self, call: Call, verdict: Verdict) -> None: ...
    def first_token(self, call: Call, ttft_ms: int) -> None: ...
    def finished(self, call: Call, status: int, units: WorkUnits) -> None: ...
    def settlement_lost(self, request_id: str) -> None: ...


class TalliedCounter:
    """A Ray counter that is told its increments once per flush."""

    def __init__(self, name: str, description: str, tags: tuple[str, ...] = ()) -> None:
        self._tags = tags
        self._counter = metrics.Counter(name, description=description, tag_keys=tags)
        self._tally: Tally[tuple[str, ...]] = Tally()

    def add(self, count: int, *tags: str) -> None:
        self._tally[tags] += count

    def flush(self) -> None:
        # A counter refuses an increment of nothing.
        for tags, count in (+self._tally).items():
            self._counter.inc(count, dict(zip(self._tags, tags, strict=True)))
        self._tally.clear()


class TalliedHistogram:
    """Milliseconds by model, in cumulative buckets."""

    def __init__(self, name: str, description: str) -> None:
        self._buckets = TalliedCounter(f"{name}_bucket", description, ("model", "le"))
        self._sum = TalliedCounter(f"{name}_sum", description, ("model",))
        self._count = TalliedCounter(f"{name}_count", description, ("model",))
        self._seen: Tally[tuple[str, int]] = Tally()

    def observe(self, model: str, value_ms: int) -> None:
        self._seen[model, bisect_left(BUCKETS_MS, value_ms)] += 1
        self._sum.add(value_ms, model)

    def flush(self) -> None:
        for (model, bucket), count in self._seen.items():
            self._count.add(count, model)
            for bound in UPPER_BOUNDS[bucket:]:
                self._buckets.add(count, model, bound)
        self._seen.clear()
        for counter in (self._buckets, self._sum, self._count):
            counter.flush()


class LatestGauge:
    """A Ray gauge with one tag that is told its latest values once per flush."""

    def __init__(self, name: str, description: str, tag: str) -> None:
        self._tag = tag
        self._gauge = metrics.Gauge(name, description=description, tag_keys=(tag,))
        self._news: dict[str, int] = {}

    def set(self, tag: str, value: int) -> None:
        self._news[tag] = value

    def flush(self) -> None:
        for tag, value in self._news.items():
            self._gauge.set(value, {self._tag: tag})
        self._news.clear()


class ServeTelemetry:
    """Prometheus metrics through Ray, and one JSON line a request."""

    def __init__(self, access_log: AccessLog) -> None:
        self._log = access_log
        self._requests = TalliedCounter(
            "carillon_requests", "Requests answered", ("endpoint", "model", "status")
        )
        self._tokens = TalliedCounter("carillon_tokens", "Tokens billed", ("model", "kind"))
        self._work = TalliedCounter(
            "carillon_work", "Work billed in other units than tokens", ("model", "unit")
        )
        self._admissions = TalliedCounter(
            "carillon_admissions", "Admission verdicts, refusals by window", ("verdict", "reason")
        )
        self._watched = TalliedCounter(
            "carillon_watched_refusals", "What watched windows would have refused", ("reason",)
        )
        self._cache = TalliedCounter("carillon_cache", "Cache verdicts", ("verdict",))
        self._lost = TalliedCounter("carillon_settlements_lost", "Settlements left to a lease")
        self._ttft = TalliedHistogram("carillon_time_to_first_token_ms", "Time to first token")
        self._latency = TalliedHistogram("carillon_response_time_ms", "Time to the last byte")
        self._waits = TalliedHistogram("carillon_queue_wait_ms", "Waits of calls that had to wait")
        self._waiting = LatestGauge("carillon_queue_waiting", "Calls that wait", "model")

    def admitted(self, call: Call, verdict: Verdict) -> None:
        reason = ""
        if isinstance(verdict, Admitted):
            for state in verdict.would_refuse:
                self._watched.add(1, _reason(state))
        if isinstance(verdict, Refused):
            reason = _reason(verdict.blocking)
            self._answered(call, 429, NO_WORK)
        self._admissions.add(1, type(verdict).__name__.lower(), reason)
        if isinstance(verdict, Hit):
            call.headers["x-cache"] = "HIT"
            self._answered(call, 200, NO_WORK)

    def first_token(self, call: Call, ttft_ms: int) -> None:
        self._ttft.observe(call.model.card.id, ttft_ms)

    def finished(self, call: Call, status: int, units: WorkUnits) -> None:
        model = call.model.card.id
        if units.tokens:
            self._tokens.add(units.input_tokens, model, "input")
            self._tokens.add(units.cached_tokens, model, "cached")
            self._tokens.add(units.output_tokens, model, "output")
        for unit in OTHER_UNITS:
            if count := getattr(units, unit):
                self._work.add(count, model, unit)
        self._answered(call, status, units)

    def answered(self, exchange: Exchange, status: int) -> None:
        """What became of a request that is no call, or was refused before it was one."""
        ids = (exchange.request_id, exchange.trace_id)
        self._line(ids, exchange.endpoint, "", status, exchange.elapsed_ms())

    def disconnected(self, socket: WebSocket, endpoint: str, status: int) -> None:
        """What became of a WebSocket that was refused, or broke."""
        trace_id = socket.headers.get("x-request-id", "")[:TRACE_ID_LENGTH]
        self._line(("", trace_id), endpoint, "", status, 0)

    def settlement_lost(self, request_id: str) -> None:
        self._lost.add(1)
        logger.error("settlement left to its lease", extra={"carillon_request_id": request_id})

    def waiting(self, model: str, count: int) -> None:
        self._waiting.set(model, count)

    def waited(self, model: str, wait_ms: int) -> None:
        self._waits.observe(model, wait_ms)

    async def run(self) -> None:
        """Move what has gathered into Ray's metrics and the log, for ever."""
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        self._log.flush()
        for gathered in (
            self._requests,
            self._tokens,
            self._work,
            self._admissions,
            self._watched,
            self._cache,
            self._lost,
            self._ttft,
            self._latency,
            self._waits,
            self._waiting,
        ):
            gathered.flush()

    def _answered(self, call: Call, status: int, units: WorkUnits) -> None:
        model = call.model.card.id
        elapsed_ms = call.elapsed_ms()
        cache = call.headers.get("x-cache", "")
        self._latency.observe(model, elapsed_ms)
        if cache:
            self._cache.add(1, cache.lower())
        call.told.append(status)
        ids = (call.request_id, call.trace_id)
        self._line(ids, call.endpoint, model, status, elapsed_ms, cache, units)

    def _line(
        self,
        ids: tuple[str, str],
        endpoint: str,
        model: str,
        status: int,
        elapsed_ms: int,
        cache: str = "",
        units: WorkUnits = NO_WORK,
    ) -> None:
        """Count a request and log it. `ids` are the ledger's and the trace's."""
        self._requests.add(1, endpoint, model, str(status))
        self._log.write(
            {
                "time": time.time(),
                "request_id": ids[0],
                "trace_id": ids[1],
                "endpoint": endpoint,
                "model": model,
                "status": status,
                "cache": cache,
                "units": units.nonzero(),
                "elapsed_ms": elapsed_ms,
            }
        )


def _reason(state: WindowState) -> str:
    return f"{state.window.meter}/{state.window.seconds}s"
