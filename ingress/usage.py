"""Usage over HTTP: where the windows stand, and what the ledger adds up to.

Place in the path: beside it; these requests are authenticated and cost no units. A principal
reads its own tenant, whatever it asks for.
"""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from auth.limits import Limits
from auth.principal import Principal, Scope
from auth.storage import Storage
from auth.usage import By, Usage, UsageTotals
from auth.valkey import ValkeyAdmission
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath, Stream
from ingress.queries import DailyQuery, PeriodQuery
from ingress.rendering import openai_body
from ingress.responses import StreamResponse, json_response
from ingress.standing import storage_object, window_object
from ingress.usage_csv import CSV_TYPE, csv_pieces


class UsageEndpoints:
    """Handlers over the ledger's totals and the store's windows."""

    def __init__(
        self,
        path: RequestPath,
        usage: Usage,
        admission: ValkeyAdmission,
        limits: Limits,
        storage: Storage,
    ) -> None:
        self._path = path
        self._usage = usage
        self._admission = admission
        self._limits = limits
        self._storage = storage

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/v1/usage",
                self.show,
                "Windows now, totals of a period (?days=)",
                query=PeriodQuery,
            ),
            Endpoint(
                "GET",
                "/v1/usage/summary",
                self.summary,
                "Totals by model, key, user (?days=)",
                query=PeriodQuery,
            ),
            Endpoint(
                "GET",
                "/v1/usage/daily",
                self.daily,
                "Totals by day (?days=, ?by=)",
                query=DailyQuery,
            ),
            Endpoint(
                "GET",
                "/v1/usage/records.csv",
                self.export,
                "Every request, as CSV (?days=)",
                query=PeriodQuery,
            ),
        ]

    async def show(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        return json_response(await self.report(principal, *period_of(exchange)))

    async def report(
        self, principal: Principal, since: datetime, until: datetime
    ) -> dict[str, Any]:
        """The whole standing of one tenant."""
        windows = await self._admission.standing(self._limits.scopes(principal))
        storage = await self._storage.standing(principal)
        summary = await self._usage.summary(principal.tenant_id, since, until)
        return {
            "object": "usage",
            "tenant_id": principal.tenant_id,
            "key_id": principal.key_id,
            "plan": principal.plan,
            "windows": [window_object(state) for state in windows],
            "storage": [storage_object(state) for state in storage],
            "since": int(since.timestamp()),
            "until": int(until.timestamp()),
            "totals": totals_object(summary.totals),
            "by_model": _named(summary.by[By.MODEL]),
        }

    async def summary(self, exchange: Exchange) -> Response:
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        summary = await self._usage.summary(principal.tenant_id, *period_of(exchange))
        broken_down = {f"by_{by}": _named(totals) for by, totals in summary.by.items()}
        return json_response({"totals": totals_object(summary.totals)} | broken_down)

    async def daily(self, exchange: Exchange) -> Response:
        """Days of the tenant's own time zone."""
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        by = _breakdown(exchange)
        days = await self._usage.daily(
            principal.tenant_id, *period_of(exchange), by, principal.time_zone
        )
        data = [
            {"date": entry.day.isoformat()}
            | ({by.value: entry.name} if by else {})
            | totals_object(entry.totals)
            for entry in days
        ]
        return json_response({"object": "list", "data": data})

    async def export(self, exchange: Exchange) -> Response:
        """The tenant's rows of the ledger, oldest first, for spreadsheets and billing systems."""
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        records = self._usage.records(principal.tenant_id, *period_of(exchange))
        return StreamResponse(Stream(csv_pieces(records), CSV_TYPE), openai_body)


def _breakdown(exchange: Exchange) -> By | None:
    return exchange.query(DailyQuery).by


def _named(totals: dict[str, UsageTotals]) -> dict[str, Any]:
    return {name: totals_object(each) for name, each in totals.items()}


def totals_object(totals: UsageTotals) -> dict[str, Any]:
    """Sums as JSON. Money is a number with all its digits, which a float would round."""
    sums = asdict(totals) | {"total_tokens": totals.total_tokens}
    device_seconds = round(totals.device_seconds, 6)
    return sums | {"money": exact_number(totals.money), "device_seconds": device_seconds}


def exact_number(amount: Decimal) -> orjson.Fragment:
    """A JSON number of as many digits as the amount has."""
    whole, _, part = f"{amount:f}".partition(".")
    return orjson.Fragment(f"{whole}.{part.rstrip('0') or '0'}")


def period_of(exchange: Exchange) -> tuple[datetime, datetime]:
    """The last `?days=` days, 30 when not said, from a quarter of an hour's beginning on. Raises
    InvalidRequest.
    """
    until = datetime.now(UTC)
    since = until - timedelta(days=exchange.query(PeriodQuery).days)
    # Totals are kept by quarter of an hour.
    since = since.replace(minute=since.minute // 15 * 15, second=0, microsecond=0)
    # A moment ahead, so that what was recorded just now by another clock is inside.
    return since, until + timedelta(minutes=1)
