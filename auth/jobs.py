"""Jobs: work that outlives the request that asked for it, one row each.

Place in the path: written by the gateway when a job is asked for, and by the jobs application
while it runs. It holds what tenants may see, and whether a job waits for a place
(`auth.waiting_jobs`); what is needed to go on after a crash is the durable engine's
(`graphs.jobs`). A job that has ended never changes again, unless its tenant resumes it.
"""

import hashlib
import secrets
from datetime import datetime
from typing import Any

import orjson

from auth.accounts import Page
from auth.database import Database
from auth.job_rows import Job, JobStatus, job_of, resumption_of
from auth.paging import known_id, page_size
from auth.principal import Principal
from core.errors import Conflict, NotFound
from core.plain import checked

__all__ = ["Job", "JobBook", "JobStatus"]
ID_BYTES = 12
NUL = r"\u0000"
"""As JSON has it."""
NEWEST_FIRST = """
    SELECT * FROM jobs WHERE tenant_id = $1 AND kind = $2 AND ($3::text IS NULL
    OR (created_at, id) < (SELECT created_at, id FROM jobs WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at DESC, id DESC LIMIT $4
"""
OLDEST_FIRST = """
    SELECT * FROM jobs WHERE tenant_id = $1 AND kind = $2 AND ($3::text IS NULL
    OR (created_at, id) > (SELECT created_at, id FROM jobs WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at, id LIMIT $4
"""
BRIEF = """
    SELECT id, tenant_id, api_key_id, user_id, kind, model, status, progress, error_code,
        error_message, created_at, started_at, ended_at, expires_at, try_at,
        jsonb_build_object('workflow', jsonb_build_object(
            'name', request -> 'workflow' -> 'name',
            'metadata', request -> 'workflow' -> 'metadata')) AS request,
        jsonb_build_object('resumed', coalesce(result -> 'resumed', '0')) AS result
"""
"""Of runs of workflows: without what they were given and what they made, which may be megabytes."""
PAGES = {
    (False, False): NEWEST_FIRST,
    (False, True): OLDEST_FIRST,
    (True, False): NEWEST_FIRST.replace("SELECT *", BRIEF, 1),
    (True, True): OLDEST_FIRST.replace("SELECT *", BRIEF, 1),
}
"""By whether they are brief, and whether the oldest come first."""
MENTIONED = """
    SELECT 1 FROM jobs WHERE tenant_id = $1
    AND (request -> 'blobs' ? $2 OR result -> 'blobs' ? $2)
    UNION ALL SELECT 1 FROM files WHERE tenant_id = $1 AND hash = $2
    UNION ALL SELECT 1 FROM gallery_items WHERE tenant_id = $1 AND $2 = ANY (hashes) LIMIT 1
"""
REOPEN = """
    WITH reopened AS (UPDATE jobs SET status = 'queued', ended_at = NULL,
        error_code = NULL, error_message = NULL, api_key_id = $4, user_id = $5,
        expires_at = $6, result = result || jsonb_build_object(
            'resumed', coalesce((result ->> 'resumed')::int, 0) + 1)
    WHERE id = $1 AND tenant_id = $2 AND kind = $3 AND status IN ('failed', 'cancelled')
    RETURNING *),
    steps AS (UPDATE workflow_steps SET status = 'pending' FROM reopened
    WHERE workflow_steps.tenant_id = $2 AND run_id = reopened.id
    AND workflow_steps.status IN ('failed', 'skipped'))
    SELECT * FROM reopened
"""
"""What did not complete of a run may run again; never one without the other."""
BEGIN = """
    UPDATE jobs SET status = 'in_progress', waiting_since = NULL,
        started_at = coalesce(started_at, now())
    WHERE id = $1 AND status IN ('queued', 'in_progress')
    AND ($2::int IS NULL OR coalesce((result ->> 'resumed')::int, 0) = $2) RETURNING *
"""
ADVANCE = """
    UPDATE jobs SET progress = greatest(progress, $3), result = result || $4::jsonb
    WHERE id = $1 AND status = 'in_progress'
    AND coalesce((result ->> 'resumed')::int, 0) = $2
"""
COMPLETE = """
    UPDATE jobs SET status = 'completed', progress = 1, ended_at = now(), waiting_since = NULL,
        result = result || $3::jsonb
    WHERE id = $1 AND status IN ('queued', 'in_progress')
    AND ($2::int IS NULL OR coalesce((result ->> 'resumed')::int, 0) = $2)
"""
FAIL = """
    UPDATE jobs SET status = 'failed', ended_at = now(), waiting_since = NULL,
        error_code = $3, error_message = $4
    WHERE id = $1 AND status IN ('queued', 'in_progress')
    AND ($2::int IS NULL OR coalesce((result ->> 'resumed')::int, 0) = $2)
"""


class JobBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        principal: Principal,
        kind: str,
        prefix: str,
        request: dict[str, Any],
        model: str | None = None,
        expires_at: datetime | None = None,
        once: str | None = None,
        *,
        waiting: bool = True,
    ) -> Job:
        """A new job of `principal`, queued. Its id begins with `prefix`.

        Args:
            once: names it among the tenant's jobs: asked for again under that name, it is the job
                that is there.
            waiting: False for one that is to be handed over later (`hand_over`).
        """
        own = secrets.token_hex(ID_BYTES) if once is None else _named(principal.tenant_id, once)
        owner = (principal.tenant_id, principal.key_id, principal.user_id)
        return await self._add(
            f"{prefix}{own}", owner, kind, request, model, expires_at, waiting=waiting
        )

    async def follow(self, job: Job, kind: str, job_id: str, request: dict[str, Any]) -> Job:
        """A job that another one leads to, of the same caller. Twice the same id is one."""
        owner = (job.tenant_id, job.api_key_id, job.user_id)
        return await self._add(job_id, owner, kind, request)

    async def _add(
        self,
        job_id: str,
        owner: tuple[str, str, str | None],
        kind: str,
        request: dict[str, Any],
        model: str | None = None,
        expires_at: datetime | None = None,
        *,
        waiting: bool = True,
    ) -> Job:
        tenant_id, key_id, user_id = owner
        row = await self._database.of(tenant_id).row(
            "INSERT INTO jobs"
            " (id, tenant_id, api_key_id, user_id, kind, model, request, expires_at,"
            " waiting_since) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $9 THEN now() END)"
            " ON CONFLICT (id) DO UPDATE SET id = excluded.id RETURNING *",
            job_id,
            tenant_id,
            key_id,
            user_id,
            kind,
            model,
            _kept(request),
            expires_at,
            waiting,
        )
        return job_of(row)

    async def hand_over(self, job: Job) -> None:
        """Have one run that was added or reopened, when there is a place. Twice is once."""
        await self._database.of(job.tenant_id).execute(
            "UPDATE jobs SET waiting_since = now() WHERE id = $1 AND tenant_id = $2"
            " AND status = 'queued' AND waiting_since IS NULL",
            job.id,
            job.tenant_id,
        )

    async def begun(self, tenant_id: str, kind: str, prefix: str, once: str) -> Job | None:
        """The job that is there under a name (see `add`), if one is."""
        try:
            return await self.find(tenant_id, kind, f"{prefix}{_named(tenant_id, once)}")
        except NotFound:
            return None

    async def find(self, tenant_id: str, kind: str, job_id: str) -> Job:
        """A tenant's own job. Raises NotFound, also for another tenant's."""
        row = await self._database.of(tenant_id).row(
            "SELECT * FROM jobs WHERE id = $1 AND tenant_id = $2 AND kind = $3",
            known_id(job_id),
            tenant_id,
            kind,
        )
        return job_of(row)

    async def read(self, job_id: str) -> Job:
        """A job by its id alone: for the application that runs it. Raises NotFound."""
        return job_of(await self._database.row("SELECT * FROM jobs WHERE id = $1", job_id))

    async def page(
        self,
        tenant_id: str,
        kind: str,
        after: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
        brief: bool = False,
    ) -> Page[Job]:
        """A tenant's jobs of one kind.

        Args:
            brief: for runs of workflows: of their requests the name and metadata alone, of their
                results how often they were resumed.
        """
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            PAGES[brief, oldest_first], tenant_id, kind, after and known_id(after), limit + 1
        )
        return Page(tuple(job_of(row) for row in rows[:limit]), len(rows) > limit)

    async def unfinished(self, tenant_id: str, kind: str) -> int:
        """How many of a tenant's jobs of one kind have not ended."""
        row = await self._database.of(tenant_id).row(
            "SELECT count(*) AS jobs FROM jobs WHERE tenant_id = $1 AND kind = $2"
            " AND status IN ('queued', 'in_progress')",
            tenant_id,
            kind,
        )
        return 0 if row is None else int(row["jobs"])

    async def mentions(self, tenant_id: str, blob: str) -> bool:
        """Whether a job of this tenant names a blob, in `blobs` of its request or result, or one of
        its files does, or its gallery.
        """
        return await self._database.of(tenant_id).row(MENTIONED, tenant_id, blob) is not None

    async def begin(self, job_id: str, execution: str | None = None) -> Job:
        """Mark as running; harmless when it runs again after a crash.

        Args:
            execution: whose word this is. Nothing changes, here and below, when the job was
                resumed since, and has another one.
        """
        row = await self._database.row(BEGIN, job_id, resumption_of(execution))
        return await self.read(job_id) if row is None else job_of(row)

    async def advance(self, job: Job, progress: float, result: dict[str, Any]) -> None:
        """What is done so far, in the word of the execution that `job` was read in."""
        await self._database.execute(
            ADVANCE, job.id, resumption_of(job.execution), progress, orjson.dumps(result).decode()
        )

    async def complete(
        self, job_id: str, result: dict[str, Any], execution: str | None = None
    ) -> None:
        """The end, when all went well."""
        await self._database.execute(
            COMPLETE, job_id, resumption_of(execution), orjson.dumps(result).decode()
        )

    async def fail(
        self, job_id: str, code: str, message: str, execution: str | None = None
    ) -> None:
        """The end, when something went wrong."""
        await self._database.execute(
            FAIL, job_id, resumption_of(execution), code, message.replace("\0", "")
        )

    async def cancel(self, tenant_id: str, kind: str, job_id: str) -> Job:
        """The end, because its tenant wants it. Raises NotFound, Conflict for one that ended."""
        row = await self._database.of(tenant_id).row(
            "UPDATE jobs SET status = 'cancelled', ended_at = now(), waiting_since = NULL"
            " WHERE id = $1 AND tenant_id = $2 AND kind = $3"
            " AND status IN ('queued', 'in_progress') RETURNING *",
            known_id(job_id),
            tenant_id,
            kind,
        )
        if row is not None:
            return job_of(row)
        job = await self.find(tenant_id, kind, job_id)
        if job.status is JobStatus.CANCELLED:
            return job
        raise Conflict(f"the job has ended: it is {job.status.value}")

    async def reopen(
        self, principal: Principal, kind: str, job_id: str, expires_at: datetime
    ) -> Job:
        """Queue a job again that failed or was cancelled, on the rights of whoever asks. It is to
        be handed over (`hand_over`). Steps of a run that did not complete run again.

        Raises NotFound, Conflict for one that is under way or completed.
        """
        row = await self._database.of(principal.tenant_id).row(
            REOPEN,
            known_id(job_id),
            principal.tenant_id,
            kind,
            principal.key_id,
            principal.user_id,
            expires_at,
        )
        if row is not None:
            return job_of(row)
        job = await self.find(principal.tenant_id, kind, job_id)
        raise Conflict(f"only what failed or was cancelled is resumed: it is {job.status.value}")

    async def delete(self, tenant_id: str, kind: str, job_id: str) -> None:
        """Forget a job that has ended. Raises NotFound, Conflict for one that runs, also if it was
        resumed this moment.
        """
        row = await self._database.of(tenant_id).row(
            "DELETE FROM jobs WHERE id = $1 AND tenant_id = $2 AND kind = $3"
            " AND status IN ('completed', 'failed', 'cancelled') RETURNING id",
            known_id(job_id),
            tenant_id,
            kind,
        )
        if row is None:
            await self.find(tenant_id, kind, job_id)
            raise Conflict("the job has not ended: cancel it first")


def _kept(request: dict[str, Any]) -> str:
    """As a row has it. Raises InvalidRequest, with its place, for a NUL: PostgreSQL keeps none."""
    written = orjson.dumps(request).decode()
    if NUL in written:
        checked(request)
    return written


def _named(tenant_id: str, once: str) -> str:
    digest = hashlib.sha256(f"{tenant_id}\0{once}".encode()).hexdigest()
    return digest[: 2 * ID_BYTES]
