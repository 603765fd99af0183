"""Engine counters: what each replica says that its engine has done, kept in PostgreSQL.

Place in the path: far from it. Replicas report totals, not differences, so a report that is lost is
made up by the next one and one that comes twice changes nothing. `auth.reconciliation` compares
them with the ledger. This module does not know what an engine is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import orjson

from auth.database import Database

STORE = """
INSERT INTO engine_counters AS known
    (replica, model, day, calls, units, unbilled, device_seconds)
SELECT $1, model, day, calls, units, unbilled, device_seconds
FROM jsonb_to_recordset($2::jsonb) AS report (
    model text, day date, calls bigint, units jsonb, unbilled jsonb, device_seconds float8)
ORDER BY day, model
ON CONFLICT (day, model, replica) DO UPDATE SET
    calls = excluded.calls, units = excluded.units, unbilled = excluded.unbilled,
    device_seconds = excluded.device_seconds, reported_at = now()
WHERE excluded.calls > known.calls
"""


@dataclass(frozen=True, slots=True)
class EngineCount:
    """What one replica did for one model on one day (UTC), so far."""

    model: str
    day: date
    calls: int
    units: dict[str, int]
    """Work that callers owe, by unit."""
    unbilled: dict[str, int]
    """Work of calls that failed, or that a job makes again: done, and owed by nobody."""
    device_seconds: float


class EngineCounters:
    """Keeps the counters of all replicas. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, replica: str, counts: Sequence[EngineCount]) -> None:
        """Remember a replica's totals, unless newer ones are known."""
        document = orjson.dumps([asdict(count) for count in counts]).decode()
        await self._database.execute(STORE, replica, document)

    async def prune(self, before: date) -> None:
        """Forget the counts of days before: they were compared, and what came of it stays."""
        await self._database.execute("DELETE FROM engine_counters WHERE day < $1", before)
