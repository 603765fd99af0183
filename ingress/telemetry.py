"""Metrics and the access log of the request path.

Place in the path: told by `ingress.path` what happened; it decides nothing. Counters gather in
plain dictionaries and reach Ray's metrics once a second, because one Ray metric call costs more
than a whole admission check.
"""

import asyncio
import logging
from collections import Counter as Tally
from typing import Any, Protocol

from ray.serve import metrics

from auth.admission import Hit, Refused, Verdict
from core.work import WorkUnits
from ingress.call import Call

FLUSH_S = 1.0
BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000]

logger = logging.getLogger("ray.serve")


class Telemetry(Protocol):
    """What the request path reports."""

    def admitted(self, call: Call, verdict: Verdict) -> None: ...
    def first_token(self, call: Call, ttft_ms: int) -> None: ...
    def finished(self, call: Call, status: int, units: WorkUnits) -> None: ...
    def settlement_lost(self, request_id: str) -> None: ...


class ServeTelemetry:
    """Prometheus metrics through `ray.serve.metrics`, and one JSON log line a request."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally[tuple[str, ...]]] = {}
        self._metrics: dict[str, Any] = {}
        self._tags: dict[str, tuple[str, ...]] = {}
        for name, help_text, tags in (
            ("carillon_requests", "Requests answered", ("endpoint", "model", "status")),
            ("carillon_tokens", "Model tokens billed", ("model", "kind")),
            ("carillon_admissions", "Admission verdicts", ("verdict", "reason")),
            ("carillon_settlements_lost", "Settlements left to their lease", ()),
        ):
            self._metrics[name] = metrics.Counter(name, description=help_text, tag_keys=tags)
            self._tallies[name] = Tally()
            self._tags[name] = tags
        self._ttft = metrics.Histogram(
            "carillon_time_to_first_token_ms", boundaries=BUCKETS_MS, tag_keys=("model",)
        )
        self._latency = metrics.Histogram(
            "carillon_response_time_ms", boundaries=BUCKETS_MS, tag_keys=("model",)
        )

    def admitted(self, call: Call, verdict: Verdict) -> None:
        reason = ""
        if isinstance(verdict, Refused):
            window = verdict.blocking.window
            reason = f"{window.meter}/{window.seconds}s"
        self._tallies["carillon_admissions"][(type(verdict).__name__.lower(), reason)] += 1
        if isinstance(verdict, Hit):
            self.finished(call, 200, WorkUnits())

    def first_token(self, call: Call, ttft_ms: int) -> None:
        self._ttft.observe(ttft_ms, {"model": call.model.card.id})

    def finished(self, call: Call, status: int, units: WorkUnits) -> None:
        model = call.model.card.id
        self._tallies["carillon_requests"][(call.endpoint, model, str(status))] += 1
        tokens = self._tallies["carillon_tokens"]
        if units.tokens:
            tokens[(model, "input")] += units.input_tokens
            tokens[(model, "cached")] += units.cached_tokens
            tokens[(model, "output")] += units.output_tokens
        self._latency.observe(call.elapsed_ms(), {"model": model})
        logger.info(
            "request",
            extra={
                "carillon_request_id": call.request_id,
                "trace_id": call.trace_id,
                "endpoint": call.endpoint,
                "model": model,
                "status": status,
                "cache": call.headers.get("x-cache", ""),
                "units": units.nonzero(),
                "elapsed_ms": call.elapsed_ms(),
            },
        )

    def settlement_lost(self, request_id: str) -> None:
        self._tallies["carillon_settlements_lost"][()] += 1
        logger.error("settlement left to its lease", extra={"carillon_request_id": request_id})

    async def run(self) -> None:
        """Move what has gathered into Ray's metrics, for ever."""
        while True:
            await asyncio.sleep(FLUSH_S)
            self.flush()

    def flush(self) -> None:
        for name, tally in self._tallies.items():
            # A counter refuses an increment of nothing.
            for tags, count in (+tally).items():
                self._metrics[name].inc(count, dict(zip(self._tags[name], tags, strict=True)))
            tally.clear()
