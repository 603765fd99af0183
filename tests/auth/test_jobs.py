"""Jobs are rows: what has not ended is not forgotten, whoever resumes it meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from auth.database import Database
from auth.jobs import Job, JobBook
from auth.principal import Principal
from core.errors import Conflict, NotFound

LATER = datetime.now(UTC) + timedelta(days=1)


class ResumedMeanwhile(JobBook):
    """Somebody resumes a job whenever another has just looked at it."""

    owner: Principal

    async def find(self, tenant_id: str, kind: str, job_id: str) -> Job:
        job = await super().find(tenant_id, kind, job_id)
        if job.status.is_final:
            await self.reopen(self.owner, kind, job_id, LATER)
        return job


async def failed(book: JobBook, owner: Principal) -> Job:
    job = await book.add(owner, "workflow", "run_", {})
    await book.fail(job.id, "invalid_request", "no")
    return job


async def test_a_run_that_is_resumed_while_it_is_deleted_is_not_lost_under_way(
    database: Database, owner: Principal
) -> None:
    book = ResumedMeanwhile(database)
    book.owner = owner
    for _ in range(5):
        job = await failed(book, owner)
        deleted, resumed = await asyncio.gather(
            book.delete(owner.tenant_id, "workflow", job.id),
            book.reopen(owner, "workflow", job.id, LATER),
            return_exceptions=True,
        )
        if deleted is None:
            assert isinstance(resumed, NotFound)
        else:
            assert isinstance(deleted, Conflict)
            assert not (await book.read(job.id)).status.is_final


async def test_what_runs_is_not_forgotten_and_what_ended_is(
    database: Database, owner: Principal
) -> None:
    book = JobBook(database)
    job = await book.add(owner, "workflow", "run_", {})
    with pytest.raises(Conflict):
        await book.delete(owner.tenant_id, "workflow", job.id)
    await book.fail(job.id, "invalid_request", "no")
    with pytest.raises(NotFound):
        await book.delete(owner.tenant_id, "video", job.id)
    await book.delete(owner.tenant_id, "workflow", job.id)
    with pytest.raises(NotFound):
        await book.delete(owner.tenant_id, "workflow", job.id)
