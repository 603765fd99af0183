"""Administration over HTTP: statistics of the whole installation, and the cache.

Place in the path: beside it; every handler needs the `admin` scope.
"""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auth.accounts import PlainText
from auth.ledger import LedgerWriter
from auth.principal import Scope
from auth.reconciliation import Drift, Reconciliation
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.queries import PeriodQuery
from ingress.responses import json_response
from ingress.usage import period_of, totals_object


class ClearRequest(BaseModel):
    """POST /v1/admin/cache/clear."""

    model_config = ConfigDict(extra="forbid")

    tenant_id: PlainText | None = None
    """Only this tenant's entries; everyone's when left out."""


class Administration:
    """Handlers for operators."""

    def __init__(
        self,
        path: RequestPath,
        usage: Usage,
        admission: ValkeyAdmission,
        ledger: LedgerWriter,
        reconciliation: Reconciliation,
    ) -> None:
        self._path = path
        self._usage = usage
        self._admission = admission
        self._ledger = ledger
        self._reconciliation = reconciliation

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint(
                "GET",
                "/v1/admin/stats",
                self.stats,
                "Everybody's usage, cache and ledger",
                query=PeriodQuery,
            ),
            Endpoint(
                "GET",
                "/v1/admin/reconciliation",
                self.reconciliation,
                "The ledger against what engines counted (?days=)",
                query=PeriodQuery,
            ),
            Endpoint("POST", "/v1/admin/cache/clear", self.clear, "Empty the cache", ClearRequest),
        ]

    async def stats(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        usage = await self._usage.everything(*period_of(exchange))
        return json_response(
            {
                "tenants": usage.tenants,
                "active_keys": usage.active_keys,
                "totals": totals_object(usage.totals),
                "by_tenant": {name: totals_object(t) for name, t in usage.by_tenant.items()},
                "by_model": {name: totals_object(t) for name, t in usage.by_model.items()},
                "cache": asdict(await self._admission.cache_stats()),
                "ledger": await self.ledger_lag(),
            }
        )

    async def reconciliation(self, exchange: Exchange) -> Response:
        """What the nights' comparisons found, the newest first."""
        await self._path.authorize(exchange.key, Scope.ADMIN)
        since, _ = period_of(exchange)
        drifts = await self._reconciliation.published(since.date())
        return json_response({"object": "list", "data": [_drift_object(each) for each in drifts]})

    async def clear(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        request = await exchange.parse(ClearRequest)
        return json_response({"cleared": await self._admission.cache_clear(request.tenant_id)})

    async def ledger_lag(self) -> dict[str, Any]:
        """How far the ledger is behind."""
        return asdict(await self._ledger.lag())


def _drift_object(drift: Drift) -> dict[str, Any]:
    return {
        "date": drift.day.isoformat(),
        "model": drift.model,
        "unit": drift.unit,
        "engine": drift.engine,
        "ledger": drift.ledger,
        "difference": drift.difference,
        "drift": round(drift.ratio, 9),
        "estimated": drift.estimated,
        "unbilled": drift.unbilled,
    }
