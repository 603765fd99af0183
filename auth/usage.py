"""Usage as its owner and the operator read it: totals from the ledger.

Place in the path: answers of `/v1/usage*` and `/v1/admin/stats`. Where windows stand now is
`ValkeyAdmission.standing`; this module only reads PostgreSQL, which is a moment behind.
"""

from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

from auth.database import Database

# Every query below groups the same rows by something else.
_TOTALS = """
    count(*) AS requests,
    count(*) FILTER (WHERE cache = 'hit') AS cached,
    count(*) FILTER (WHERE status_code >= 400 OR status = 'abandoned') AS errors,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
    coalesce(sum(cached_tokens), 0)::bigint AS cached_tokens,
    coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(reasoning_tokens), 0)::bigint AS reasoning_tokens,
    avg(response_time_ms)::float8 AS mean_response_time_ms
FROM usage_records
WHERE admitted_at >= $1 AND admitted_at < $2 AND ($3::text IS NULL OR tenant_id = $3)
"""
TOTALS = "SELECT ''::text AS name, " + _TOTALS
BY_MODEL = "SELECT coalesce(model, '') AS name, " + _TOTALS + " GROUP BY model ORDER BY 2 DESC"
BY_TENANT = "SELECT tenant_id AS name, " + _TOTALS + " GROUP BY tenant_id ORDER BY 2 DESC LIMIT 100"
BY_DAY = (
    "SELECT to_char(admitted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS name, "
    + _TOTALS
    + " GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums over a set of usage records. Tokens are model tokens."""

    requests: int
    cached: int
    """Requests answered from the response cache."""
    errors: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    mean_response_time_ms: float | None

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """A tenant's usage in a period, and what it went to."""

    totals: UsageTotals
    by_model: dict[str, UsageTotals]


@dataclass(frozen=True, slots=True)
class AdminUsage:
    """Everybody's usage in a period."""

    totals: UsageTotals
    by_tenant: dict[str, UsageTotals]
    """The hundred tenants with the most requests."""
    by_model: dict[str, UsageTotals]
    tenants: int
    active_keys: int


class Usage:
    """Queries over the ledger. Times are aware; periods include `since` and exclude `until`.

    Every method raises StoreUnavailable when PostgreSQL does not answer.

    Args:
        database: PostgreSQL, migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summary(self, tenant_id: str, since: datetime, until: datetime) -> UsageSummary:
        """One tenant's totals, and the same by model."""
        return UsageSummary(
            totals=(await self._grouped(TOTALS, since, until, tenant_id))[""],
            by_model=await self._grouped(BY_MODEL, since, until, tenant_id),
        )

    async def daily(
        self, tenant_id: str, since: datetime, until: datetime
    ) -> dict[date, UsageTotals]:
        """One tenant's totals by day (UTC); days without requests are absent."""
        days = await self._grouped(BY_DAY, since, until, tenant_id)
        return {date.fromisoformat(day): totals for day, totals in days.items()}

    async def everything(self, since: datetime, until: datetime) -> AdminUsage:
        """The operator's view."""
        counts = await self._database.row(
            "SELECT (SELECT count(*) FROM tenants WHERE is_active) AS tenants,"
            " (SELECT count(*) FROM api_keys WHERE is_active"
            " AND (expires_at IS NULL OR expires_at > now())) AS active_keys"
        )
        assert counts is not None
        return AdminUsage(
            totals=(await self._grouped(TOTALS, since, until, None))[""],
            by_tenant=await self._grouped(BY_TENANT, since, until, None),
            by_model=await self._grouped(BY_MODEL, since, until, None),
            tenants=counts["tenants"],
            active_keys=counts["active_keys"],
        )

    async def _grouped(
        self, query: str, since: datetime, until: datetime, tenant_id: str | None
    ) -> dict[str, UsageTotals]:
        rows = await self._database.fetch(query, since, until, tenant_id)
        return {row["name"]: _totals(row) for row in rows}


def _totals(row: asyncpg.Record) -> UsageTotals:
    return UsageTotals(**{name: value for name, value in row.items() if name != "name"})
