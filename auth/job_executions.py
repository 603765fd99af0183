"""Executions that jobs should have: what their rows say, for whoever compares it with what runs.

Place in the path: far from it, under the jobs application's starter and sweeper
(`graphs.job_starter`, `graphs.job_sweeper`). It reads rows of every tenant and changes none.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from auth.database import Database
from auth.job_rows import Job, execution_of, job_of

UNDER_WAY = """
    SELECT id, coalesce((result ->> 'resumed')::int, 0) AS resumed FROM jobs
    WHERE status IN ('queued', 'in_progress') AND waiting_since IS NULL AND id > $1
    ORDER BY id LIMIT $2
"""
CANCELLED = """
    SELECT * FROM jobs WHERE status = 'cancelled' AND (ended_at, id) > ($1, $2)
    ORDER BY ended_at, id LIMIT $3
"""
STILL_WANTED = """
    SELECT id, coalesce((result ->> 'resumed')::int, 0) AS resumed FROM jobs
    WHERE id = ANY ($1) AND status <> 'cancelled'
"""


class Execution(NamedTuple):
    """One that should be under way."""

    job_id: str
    name: str
    """What the durable engine calls it."""


class JobExecutions:
    """Reads them. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def under_way(self, after: str, limit: int) -> list[Execution]:
        """Of jobs that have neither ended nor wait for a place, whose ids come after `after`, in
        their order.
        """
        rows = await self._database.fetch(UNDER_WAY, after, limit)
        return [Execution(row["id"], execution_of(row["id"], row["resumed"])) for row in rows]

    async def still_wanted(self, job_ids: Collection[str]) -> set[str]:
        """Names of the executions that these jobs have now, without those that were cancelled."""
        rows = await self._database.fetch(STILL_WANTED, list(job_ids))
        return {execution_of(row["id"], row["resumed"]) for row in rows}

    async def cancelled(self, since: datetime, after: str, limit: int) -> list[Job]:
        """Jobs that were cancelled after `since`, or then with an id after `after`; first ones
        first.
        """
        return [job_of(row) for row in await self._database.fetch(CANCELLED, since, after, limit)]
