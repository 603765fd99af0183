"""Reconciliation: the ledger's sums against what engines counted, by model, unit and day.

Place in the path: far from it, once a night and whenever an operator asks. Answers from the cache
are left out: no engine worked for them. Days are UTC's, and a call belongs to the day on which it
ended. It corrects nothing: the ledger is what is billed, and the drift says how far to trust it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import orjson

from auth.database import Database
from core.work import FIELDS

SUMS = ", ".join(
    f"coalesce(sum({column}), 0)::bigint AS {name},"
    f" coalesce(sum({column}) FILTER (WHERE exact IS FALSE), 0)::bigint AS estimated_{name}"
    for name, column in (
        (name, name if name.endswith("_tokens") else f"(other_units->>'{name}')::bigint")
        for name in FIELDS
    )
)
# Requests run for at most a day: earlier months need not be looked at.
LEDGER = f"""
SELECT model, {SUMS} FROM usage_records
WHERE settled_at >= $1 AND settled_at < $2
AND admitted_at >= $1 - interval '1 day' AND admitted_at < $2
AND status <> 'admitted' AND cache <> 'hit' AND model IS NOT NULL
GROUP BY model
"""  # noqa: S608  # names of our own columns
PUBLISH = """
INSERT INTO reconciliations AS known (day, model, unit, engine, ledger, estimated, unbilled)
SELECT day, model, unit, engine, ledger, estimated, unbilled
FROM jsonb_to_recordset($1::jsonb) AS drift (
    day date, model text, unit text, engine bigint, ledger bigint, estimated bigint,
    unbilled bigint)
ON CONFLICT (day, model, unit) DO UPDATE SET
    engine = excluded.engine, ledger = excluded.ledger, estimated = excluded.estimated,
    unbilled = excluded.unbilled, made_at = now()
"""
UNRECONCILED = """
SELECT day::date AS day
FROM generate_series($1::date::timestamp, $2::date::timestamp - interval '1 day', '1 day') AS day
WHERE day::date NOT IN (SELECT day FROM reconciliations)
ORDER BY 1
"""
PUBLISHED = """
SELECT day, model, unit, engine, ledger, estimated, unbilled FROM reconciliations
WHERE day >= $1 ORDER BY day DESC, model, unit
"""


@dataclass(frozen=True, slots=True)
class Drift:
    """One unit of one model on one day."""

    day: date
    model: str
    unit: str
    engine: int
    """What engines counted and callers owe."""
    ledger: int
    """What the ledger's rows add up to."""
    estimated: int
    """The part of it in rows that say that they are estimates."""
    unbilled: int
    """What engines did besides, for calls that failed: owed by nobody."""

    @property
    def difference(self) -> int:
        """Positive: more was billed than done. Negative: work is missing from the ledger."""
        return self.ledger - self.engine

    @property
    def ratio(self) -> float:
        """The difference as a share of the larger of both: -1 when nothing was billed."""
        return self.difference / (max(self.engine, self.ledger) or 1)


class Reconciliation:
    """Compares and publishes. Every method raises StoreUnavailable.

    Args:
        database: PostgreSQL, migrated; give it patience, sums over a day take a while.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, day: date) -> list[Drift]:
        """Every unit that engines or the ledger know of on `day`; nothing is published."""
        engine, unbilled = await self._engines(day)
        ledger = await self._ledger(day)
        found = []
        for model in sorted({*engine, *unbilled, *ledger}):
            for unit in FIELDS:
                counts = (
                    *(engine[model][unit], ledger[model][unit]),
                    *(ledger[model][f"estimated_{unit}"], unbilled[model][unit]),
                )
                if any(counts):
                    found.append(Drift(day, model, unit, *counts))
        return found

    async def publish(self, day: date) -> list[Drift]:
        """The same, kept as the day's figures in place of earlier ones."""
        drifts = await self.of(day)
        document = orjson.dumps([asdict(drift) for drift in drifts]).decode()
        await self._database.execute(PUBLISH, document)
        return drifts

    async def published(self, since: date) -> list[Drift]:
        """What was published for `since` and later, the newest first."""
        return [Drift(**row) for row in await self._database.fetch(PUBLISHED, since)]

    async def unreconciled(self, since: date, until: date) -> list[date]:
        """Days from `since` to before `until` of which nothing is published."""
        rows = await self._database.fetch(UNRECONCILED, since, until)
        return [row["day"] for row in rows]

    async def _engines(self, day: date) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        query = "SELECT model, units, unbilled FROM engine_counters WHERE day = $1"
        billed: dict[str, Counter[str]] = defaultdict(Counter)
        unbilled: dict[str, Counter[str]] = defaultdict(Counter)
        for row in await self._database.fetch(query, day):
            billed[row["model"]].update(orjson.loads(row["units"]))
            unbilled[row["model"]].update(orjson.loads(row["unbilled"]))
        return billed, unbilled

    async def _ledger(self, day: date) -> Mapping[str, Any]:
        start = datetime.combine(day, time(), UTC)
        sums: dict[str, Counter[str]] = defaultdict(Counter)
        for row in await self._database.fetch(LEDGER, start, start + timedelta(days=1)):
            counts = {name: value for name, value in row.items() if name != "model"}
            sums[row["model"]].update(counts)
        return sums


def beyond(drifts: Sequence[Drift], tolerance: float) -> list[Drift]:
    """Those whose ratio is larger than `tolerance`, in either direction."""
    return [drift for drift in drifts if abs(drift.ratio) > tolerance]
