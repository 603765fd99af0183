"""Steps of workflow runs: what each of them made, one row each, written the moment it is known.

Place in the path: under the orchestrator, which writes while a run runs and reads when it takes one
over, and under the routes that tell of runs. It holds what tenants may see, and knows no models.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
import orjson

from auth.database import Database

ONE = -1
"""`item` of a step's own row."""
RECORD = """
    INSERT INTO workflow_steps (tenant_id, run_id, step, item, status, tries, request_id, cache,
        output, blob, error_code, error_message, change, asked, started_at, ended_at)
    VALUES ($1, $2, $3, $4, $5::text, $6, $7, $8, $9, $10, $11, $12, $13, $14, now(),
        CASE WHEN $5::text = 'running' THEN NULL ELSE now() END)
    ON CONFLICT (run_id, step, item) DO UPDATE SET status = excluded.status,
        tries = excluded.tries, request_id = excluded.request_id, cache = excluded.cache,
        output = excluded.output, blob = excluded.blob, error_code = excluded.error_code,
        error_message = excluded.error_message, change = excluded.change, asked = excluded.asked,
        started_at = CASE WHEN workflow_steps.ended_at IS NULL THEN workflow_steps.started_at
            ELSE excluded.started_at END,
        ended_at = excluded.ended_at
"""


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    """Of a run that was resumed: as if it had not been there."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        return self not in (StepStatus.PENDING, StepStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step, or one item of a step over a list."""

    step: str
    status: StepStatus
    item: int = ONE
    tries: int = 0
    request_id: str | None = None
    """The latest call's, in the ledger."""
    cache: str | None = None
    """`HIT`, `MISS` or `BYPASS`. A hit without a call was taken over from the run that this one
    repeats."""
    output: Any = field(default=None, repr=False)
    blob: str | None = None
    """Where the output is that was too large for the row."""
    error_code: str | None = None
    error_message: str | None = None
    change: int = 0
    """Which change of its run this is."""
    asked: str | None = None
    """Names the request, where a rerun may take its answer over."""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class StepBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_run(self, tenant_id: str, run_id: str, after: int = 0) -> list[StepRow]:
        """A run's rows that changed after a change, oldest change first."""
        rows = await self._database.of(tenant_id).fetch(
            "SELECT * FROM workflow_steps WHERE tenant_id = $1 AND run_id = $2 AND change > $3"
            " ORDER BY change",
            tenant_id,
            run_id,
            after,
        )
        return [_row(row) for row in rows]

    async def answered(self, tenant_id: str, run_id: str, asked: str) -> StepRow | None:
        """What completed in a run that asked for the same."""
        row = await self._database.of(tenant_id).row(
            "SELECT * FROM workflow_steps WHERE tenant_id = $1 AND run_id = $2 AND asked = $3"
            " AND status = 'completed' LIMIT 1",
            tenant_id,
            run_id,
            asked,
        )
        return None if row is None else _row(row)

    async def record(self, tenant_id: str, run_id: str, row: StepRow) -> None:
        """Write one, over what it said before."""
        await self._database.of(tenant_id).execute(
            RECORD,
            tenant_id,
            run_id,
            row.step,
            row.item,
            row.status.value,
            row.tries,
            row.request_id,
            row.cache,
            None if row.output is None else orjson.dumps(row.output).decode(),
            row.blob,
            row.error_code,
            row.error_message,
            row.change,
            row.asked,
        )


def _row(row: asyncpg.Record) -> StepRow:
    return StepRow(
        step=row["step"],
        status=StepStatus(row["status"]),
        item=row["item"],
        tries=row["tries"],
        request_id=row["request_id"],
        cache=row["cache"],
        output=None if row["output"] is None else orjson.loads(row["output"]),
        blob=row["blob"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        change=row["change"],
        asked=row["asked"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
