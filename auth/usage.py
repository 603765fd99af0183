"""Usage as its owner and the operator read it: totals of the ledger, and its rows.

Place in the path: answers of `/v1/usage*` and `/v1/admin/stats`. Where windows stand now is
`ValkeyAdmission.standing`; this module only reads PostgreSQL, which is a moment behind. Totals are
sums that the ledger's writer keeps (`auth.totals`): no row is counted again to answer.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import asyncpg

from auth.database import Database, TenantDatabase
from auth.plans import UTC

# Every query below groups the same sums by something else.
_TOTALS = """
    coalesce(sum(requests), 0)::bigint AS requests,
    coalesce(sum(cached), 0)::bigint AS cached,
    coalesce(sum(errors), 0)::bigint AS errors,
    coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
    coalesce(sum(cached_tokens), 0)::bigint AS cached_tokens,
    coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
    coalesce(sum(reasoning_tokens), 0)::bigint AS reasoning_tokens,
    coalesce(sum(characters), 0)::bigint AS characters,
    coalesce(sum(pixel_steps), 0)::bigint AS pixel_steps,
    coalesce(sum(audio_ms), 0)::bigint AS audio_ms,
    coalesce(sum(video_pixel_ms), 0)::bigint AS video_pixel_ms,
    coalesce(sum(rows), 0)::bigint AS rows,
    coalesce(sum(money), 0) AS money,
    coalesce(sum(device_seconds), 0)::float8 AS device_seconds,
    sum(response_ms)::float8 / nullif(sum(timed), 0)::float8 AS mean_response_time_ms
FROM {of}
WHERE ($3::text IS NULL OR tenant_id = $3)
"""
# A period begins with the quarter of an hour that `since` is in. Of its whole days (UTC) the sums
# are read, of what is before and after them those of quarters; one after the other, and not by a
# condition with OR, for which PostgreSQL would look through all of them.
_SINCE = "date_bin('15 minutes', $1::timestamptz, 'epoch')"
_FIRST = "date_bin('1 day', $1::timestamptz + interval '86399.999999 seconds', 'epoch')"
_LAST = "date_bin('1 day', $2::timestamptz, 'epoch')"
_DAYS = f"""(
    SELECT * FROM usage_totals WHERE seconds = 86400 AND began >= {_FIRST} AND began < {_LAST}
    UNION ALL SELECT * FROM usage_totals
    WHERE seconds = 900 AND began >= {_SINCE} AND began < least({_FIRST}, $2::timestamptz)
    UNION ALL SELECT * FROM usage_totals
    WHERE seconds = 900 AND began >= greatest({_FIRST}, {_LAST}) AND began < $2::timestamptz
) AS sums"""  # noqa: S608  # ours
_QUARTERS = f"""(
    SELECT * FROM usage_totals
    WHERE seconds = 900 AND began >= {_SINCE} AND began < $2::timestamptz
) AS sums"""  # noqa: S608  # ours
_BY_DAYS = _TOTALS.replace("{of}", _DAYS)
_BY_QUARTERS = _TOTALS.replace("{of}", _QUARTERS)


class By(StrEnum):
    """What usage can be broken down by."""

    MODEL = "model"
    KEY = "key"
    USER = "user"


COLUMNS = {By.MODEL: "model", By.KEY: "api_key_id", By.USER: "user_id"}
# All of a summary at once: rows are read once, however it is broken down.
SUMMARY = (
    """
    SELECT CASE WHEN grouping(model) = 0 THEN 'model' WHEN grouping(api_key_id) = 0 THEN 'key'
    WHEN grouping(user_id) = 0 THEN 'user' ELSE '' END AS part,
    coalesce(model, api_key_id, user_id, '') AS name,
    """
    + _BY_DAYS
    + "GROUP BY GROUPING SETS ((), (model), (api_key_id), (user_id)) ORDER BY requests DESC"
)
TOTALS = "SELECT ''::text AS name, " + _BY_DAYS
BY_TENANT = "SELECT tenant_id AS name, " + _BY_DAYS + "GROUP BY 1 ORDER BY 2 DESC LIMIT 100"
BY_MODEL = "SELECT model AS name, " + _BY_DAYS + "GROUP BY 1 ORDER BY 2 DESC"
_NAMES: list[tuple[By | None, str]] = [(None, "''::text"), *COLUMNS.items()]
_DATES = {
    by: f"SELECT (began AT TIME ZONE $4)::date AS day, {column} AS name, " for by, column in _NAMES
}
_IN_ORDER = "GROUP BY 1, 2 ORDER BY 1, 3 DESC"
DAILY = {by: dates + _BY_QUARTERS + _IN_ORDER for by, dates in _DATES.items()}
UTC_DAILY = {by: dates + _BY_DAYS + _IN_ORDER for by, dates in _DATES.items()}
RECORDS = """
    SELECT * FROM usage_records
    WHERE tenant_id = $1 AND admitted_at >= $2 AND admitted_at < $3
    AND ($4::timestamptz IS NULL OR (admitted_at, request_id) > ($4, $5))
    ORDER BY admitted_at, request_id LIMIT $6
"""
TRACED = """
    SELECT count(*) AS requests, count(*) FILTER (WHERE cache = 'hit') AS cached,
        coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
        coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
        coalesce(sum(money), 0) AS money
    FROM usage_records WHERE tenant_id = $1 AND details->>'trace_id' = $2
"""
PAGE = 1_000


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
    characters: int
    pixel_steps: int
    audio_ms: int
    video_pixel_ms: int
    rows: int
    money: Decimal
    device_seconds: float
    mean_response_time_ms: float | None

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class DayUsage:
    """One day's totals, of one model, key or user where days are broken down."""

    day: date
    name: str
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """A tenant's usage in a period, and what it went to."""

    totals: UsageTotals
    by: dict[By, dict[str, UsageTotals]]


@dataclass(frozen=True, slots=True)
class TracedUsage:
    """What requests took that belong together."""

    requests: int
    cached: int
    """Answered from the response cache."""
    input_tokens: int
    output_tokens: int
    money: Decimal


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
    """Queries over the ledger and its totals. Times are aware; periods include `since` and exclude
    `until`. Of totals they begin with the quarter of an hour that `since` is in, and end with the
    one that `until` is in.

    Every method raises StoreUnavailable when PostgreSQL does not answer.

    Args:
        database: PostgreSQL, migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summary(self, tenant_id: str, since: datetime, until: datetime) -> UsageSummary:
        """One tenant's totals, and the same by model, by key and by user."""
        parts: dict[str, dict[str, UsageTotals]] = {part: {} for part in ("", *By)}
        for row in await self._database.of(tenant_id).fetch(SUMMARY, since, until, tenant_id):
            parts[row["part"]][row["name"]] = _totals(row)
        return UsageSummary(parts[""][""], {by: parts[by] for by in By})

    async def daily(
        self,
        tenant_id: str,
        since: datetime,
        until: datetime,
        by: By | None = None,
        zone: str = UTC,
    ) -> list[DayUsage]:
        """One tenant's totals by day of `zone`'s calendar; days without requests are absent."""
        queries = UTC_DAILY if zone == UTC else DAILY
        rows = await self._database.of(tenant_id).fetch(queries[by], since, until, tenant_id, zone)
        return [DayUsage(row["day"], row["name"], _totals(row)) for row in rows]

    async def records(
        self, tenant_id: str, since: datetime, until: datetime
    ) -> AsyncIterator[Mapping[str, Any]]:
        """One tenant's rows of the ledger, oldest first, a page in memory at a time."""
        at: datetime | None = None
        request_id = ""
        while True:
            page = await self._database.of(tenant_id).fetch(
                RECORDS, tenant_id, since, until, at, request_id, PAGE
            )
            for row in page:
                yield dict(row)
            if len(page) < PAGE:
                return
            at, request_id = page[-1]["admitted_at"], page[-1]["request_id"]

    async def record(self, tenant_id: str, name: str) -> Mapping[str, Any] | None:
        """The row of a request, by the ledger's id or by its trace id: the newest, if any."""
        own = self._database.of(tenant_id)
        row = await own.row(
            "SELECT * FROM usage_records WHERE request_id = $1 AND tenant_id = $2", name, tenant_id
        )
        row = row or await own.row(
            "SELECT * FROM usage_records WHERE tenant_id = $2 AND details->>'trace_id' = $1"
            " ORDER BY admitted_at DESC LIMIT 1",
            name,
            tenant_id,
        )
        return None if row is None else dict(row)

    async def traced(self, tenant_id: str, trace_id: str) -> TracedUsage:
        """What all requests of one trace id took together, as far as the ledger has them."""
        row = await self._database.of(tenant_id).row(TRACED, tenant_id, trace_id)
        assert row is not None  # a sum has one row
        return TracedUsage(**row)

    async def everything(self, since: datetime, until: datetime) -> AdminUsage:
        """The operator's view."""
        everybody = self._database
        counts = await everybody.row(
            "SELECT (SELECT count(*) FROM tenants WHERE is_active) AS tenants,"
            " (SELECT count(*) FROM api_keys WHERE is_active"
            " AND (expires_at IS NULL OR expires_at > now())) AS active_keys"
        )
        assert counts is not None
        return AdminUsage(
            totals=(await _grouped(everybody, TOTALS, since, until, None))[""],
            by_tenant=await _grouped(everybody, BY_TENANT, since, until, None),
            by_model=await _grouped(everybody, BY_MODEL, since, until, None),
            tenants=counts["tenants"],
            active_keys=counts["active_keys"],
        )


async def _grouped(
    seen: Database | TenantDatabase,
    query: str,
    since: datetime,
    until: datetime,
    tenant_id: str | None,
) -> dict[str, UsageTotals]:
    rows = await seen.fetch(query, since, until, tenant_id)
    return {row["name"]: _totals(row) for row in rows}


def _totals(row: asyncpg.Record) -> UsageTotals:
    return UsageTotals(
        **{name: value for name, value in row.items() if name not in ("part", "name", "day")}
    )
