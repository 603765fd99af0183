"""Tries of webhooks: when one that its receiver did not take is sent again.

Place in the path: beside `auth.jobs`, whose rows these are. Each try is an execution of the same
job; between two the job has failed, and its row says when the next one is due, so that a try is
lost with no process and holds no place. It sends nothing.
"""

from datetime import datetime, timedelta

from auth.database import Database
from auth.job_rows import Job, job_of
from auth.paging import known_id
from core.errors import Conflict

KIND = "webhook"
PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 60, 300, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800)
)
"""Before the second try, the third, and so on: almost a day in all."""
MOST_WAITING = 1_000
"""Webhooks of one tenant that wait for another try: beyond that the first try is the last."""
EACH = 8
"""Webhooks of one tenant that are tried again at once, so that nobody keeps the others waiting."""
BATCH = 200

POSTPONE = """
    UPDATE jobs SET try_at = $3 WHERE id = $1 AND tenant_id = $2 AND kind = 'webhook'
    AND status = 'failed' AND try_at IS NULL AND coalesce((result ->> 'resumed')::int, 0) = $4
    AND (SELECT count(*) FROM jobs WHERE tenant_id = $2 AND try_at IS NOT NULL) < $5
"""
DUE = """
    WITH waiting AS (
        SELECT id, row_number() OVER (PARTITION BY tenant_id ORDER BY try_at) AS nth FROM jobs
        WHERE try_at <= $1
    ),
    due AS (
        SELECT id FROM jobs WHERE id IN (SELECT id FROM waiting WHERE nth <= $2)
        AND try_at <= $1 LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET status = 'queued', waiting_since = now(), ended_at = NULL, error_code = NULL,
        error_message = NULL, try_at = NULL, result = result || jsonb_build_object(
        'resumed', coalesce((result ->> 'resumed')::int, 0) + 1)
    FROM due WHERE jobs.id = due.id RETURNING jobs.*
"""
AGAIN = """
    UPDATE jobs SET status = 'queued', waiting_since = now(), ended_at = NULL, error_code = NULL,
        error_message = NULL, try_at = NULL, result = result || jsonb_build_object(
        'resumed', coalesce((result ->> 'resumed')::int, 0) + 1,
        'first', coalesce((result ->> 'resumed')::int, 0) + 1)
    WHERE id = $1 AND tenant_id = $2 AND kind = 'webhook' AND status IN ('completed', 'failed')
    RETURNING *
"""


class WebhookTries:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def postpone(self, job: Job, at: datetime) -> None:
        """Have one that failed tried again at a time; nothing happens if it is being tried, or too
        many wait.
        """
        await self._database.of(job.tenant_id).execute(
            POSTPONE, job.id, job.tenant_id, at, job.result.get("resumed", 0), MOST_WAITING
        )

    async def due(self, now: datetime) -> list[Job]:
        """Those of all tenants whose time has come: they wait for a place again."""
        return [job_of(row) for row in await self._database.fetch(DUE, now, EACH, BATCH)]

    async def again(self, tenant_id: str, job_id: str) -> Job:
        """One that was delivered or not, waiting again as if it had never been tried.

        Raises Conflict: it is being tried at this moment.
        """
        row = await self._database.of(tenant_id).row(AGAIN, known_id(job_id), tenant_id)
        if row is None:
            raise Conflict("the webhook is being sent at this moment")
        return job_of(row)


def pause_after(job: Job) -> timedelta | None:
    """How long one that failed waits for its next try; None when that was the last."""
    tried: int = job.result.get("resumed", 0) - job.result.get("first", 0)
    return PAUSES[tried] if tried < len(PAUSES) else None
