"""Usage over HTTP: where the windows stand, and what the ledger adds up to.

Place in the path: beside it; these requests are authenticated and cost no units. A principal
reads its own tenant, whatever it asks for.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from auth.admission import WindowState
from auth.plans import Limits
from auth.principal import Principal, Scope
from auth.usage import Usage, UsageTotals
from auth.valkey import ValkeyAdmission
from core.errors import InvalidRequest
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.responses import json_response

DEFAULT_DAYS = 30
MAX_DAYS = 366


class UsageEndpoints:
    """Handlers over the ledger's totals and the store's windows."""

    def __init__(
        self, path: RequestPath, usage: Usage, admission: ValkeyAdmission, limits: Limits
    ) -> None:
        self._path = path
        self._usage = usage
        self._admission = admission
        self._limits = limits

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/v1/usage", self.show, "Windows now, totals of a period (?days=)"),
            Endpoint("GET", "/v1/usage/summary", self.summary, "Totals by model (?days=)"),
            Endpoint("GET", "/v1/usage/daily", self.daily, "Totals by day (?days=)"),
        ]

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        return json_response(await self.report(principal, *period_of(exchange)))

    async def report(
        self, principal: Principal, since: datetime, until: datetime
    ) -> dict[str, Any]:
        """The whole standing of one tenant."""
        windows = await self._admission.standing(self._limits.scopes(principal))
        summary = await self._usage.summary(principal.tenant_id, since, until)
        return {
            "object": "usage",
            "tenant_id": principal.tenant_id,
            "key_id": principal.key_id,
            "plan": principal.plan,
            "windows": [window_object(state) for state in windows],
            "since": int(since.timestamp()),
            "until": int(until.timestamp()),
            "totals": totals_object(summary.totals),
            "by_model": {name: totals_object(t) for name, t in summary.by_model.items()},
        }

    async def summary(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        summary = await self._usage.summary(principal.tenant_id, *period_of(exchange))
        by_model = {name: totals_object(t) for name, t in summary.by_model.items()}
        return json_response({"totals": totals_object(summary.totals), "by_model": by_model})

    async def daily(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        days = await self._usage.daily(principal.tenant_id, *period_of(exchange))
        data = [{"date": day.isoformat()} | totals_object(t) for day, t in days.items()]
        return json_response({"object": "list", "data": data})


def window_object(state: WindowState) -> dict[str, Any]:
    """One window as JSON. `reset_ms` is until it opens anew."""
    return {
        "scope": state.scope.partition(":")[0],
        "meter": state.window.meter.value,
        "seconds": state.window.seconds,
        "limit": state.window.limit,
        "used": state.used,
        "remaining": state.remaining,
        "reset_ms": state.reset_ms,
    }


def totals_object(totals: UsageTotals) -> dict[str, Any]:
    """Sums as JSON."""
    return asdict(totals) | {"total_tokens": totals.total_tokens}


def period_of(exchange: Exchange) -> tuple[datetime, datetime]:
    """The last `?days=` days, 30 when not said. Raises InvalidRequest."""
    days = exchange.http.query_params.get("days", str(DEFAULT_DAYS))
    if not (days.isascii() and days.isdigit()) or not 1 <= int(days[:5]) <= MAX_DAYS:
        raise InvalidRequest(f"'days' must be between 1 and {MAX_DAYS}", "days")
    until = datetime.now(UTC)
    # A moment ahead, so that what was recorded just now by another clock is inside.
    return until - timedelta(days=int(days[:5])), until + timedelta(minutes=1)
