"""Jobs that wait for a place, and which of them are next.

Place in the path: beside `auth.jobs`, under the jobs application. A job waits in its own row, so
that there is no second place it could be lost from. Whoever runs jobs is told of new ones by
PostgreSQL (the channel `WORK`). It reads and changes rows of every tenant, and runs nothing.
"""

from collections.abc import Collection

from auth.database import Database
from auth.job_rows import Job, job_of

WORK = "job_work"
"""PostgreSQL tells it when a job begins to wait, and when one is cancelled."""
CLAIM = """
    WITH running AS (
        SELECT kind, tenant_id, count(*) AS jobs FROM jobs
        WHERE status = 'in_progress' AND kind = ANY ($1) GROUP BY kind, tenant_id
    ),
    taken AS (SELECT kind, sum(jobs) AS places FROM running GROUP BY kind),
    turns AS (
        SELECT id, kind, coalesce(jobs, 0) + row_number()
            OVER (PARTITION BY kind, tenant_id ORDER BY waiting_since, id) AS turn
        FROM jobs LEFT JOIN running USING (kind, tenant_id)
        WHERE waiting_since IS NOT NULL AND kind = ANY ($1)
    ),
    line AS (
        SELECT id, coalesce(places, 0) + row_number()
            OVER (PARTITION BY kind ORDER BY turn, random()) AS place
        FROM turns LEFT JOIN taken USING (kind) WHERE turn <= $3
    ),
    next AS MATERIALIZED (SELECT id FROM line WHERE place <= $2)
    UPDATE jobs SET status = 'in_progress', started_at = coalesce(started_at, now()),
        waiting_since = NULL
    WHERE id = ANY (ARRAY(SELECT id FROM next)) AND waiting_since IS NOT NULL RETURNING *
"""
"""Next is the tenant of whom fewest run, drawn by lot among equals; of one tenant, what has waited
longest. The line is made once, and not for each row, whatever the planner believes to be waiting.
"""


class WaitingJobs:
    """The line. Every method raises StoreUnavailable when PostgreSQL does not answer.

    Args:
        places: how many jobs of each kind run at once; one tenant has at most half of them.
    """

    def __init__(self, database: Database, places: int) -> None:
        self._database = database
        self._places = places

    async def claim(self, kinds: Collection[str]) -> list[Job]:
        """Those for whom there is a place now: they are in progress, and the caller's to run."""
        each = max(1, self._places // 2)
        rows = await self._database.fetch(CLAIM, list(kinds), self._places, each)
        return [job_of(row) for row in rows]

    async def put_back(self, job: Job) -> None:
        """Have one that nothing runs wait again; harmless if it ended, or was resumed since."""
        await self._database.execute(
            "UPDATE jobs SET status = 'queued', waiting_since = now()"
            " WHERE id = $1 AND status IN ('queued', 'in_progress') AND waiting_since IS NULL"
            " AND coalesce((result ->> 'resumed')::int, 0) = $2",
            job.id,
            job.result.get("resumed", 0),
        )
