"""Jobs that were lost between row and execution, on real PostgreSQL, DBOS's tables included.

Nothing runs jobs here: what is claimed stays where it is.
"""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from dbos import DBOSClient
from pydantic import SecretStr

from auth.database import Database
from auth.job_executions import JobExecutions
from auth.jobs import JobBook, JobStatus
from auth.migrate import migrate
from auth.principal import Principal
from auth.waiting_jobs import WaitingJobs
from graphs.executions import NAME, Executions
from graphs.job_sweeper import JobSweeper

pytestmark = pytest.mark.timeout(120)
PLACES = 1_000
LATER = datetime.now(UTC) + timedelta(days=1)


class Told:
    """A kind that remembers whose end it was told."""

    name = "kind"

    def __init__(self):
        self.ends = []

    async def ended(self, job):
        self.ends.append((job.id, job.status.value))


@pytest.fixture(scope="module")
def own_url(postgres_server):
    """Of a database of its own: a sweeper sees the jobs of all."""
    url = postgres_server.create_database("swept")
    migrate(url)
    return url


@pytest.fixture
async def database(own_url):
    database = Database(SecretStr(own_url))
    yield database
    await database.aclose()


@pytest.fixture
def book(database):
    return JobBook(database)


@pytest.fixture
def executions(own_url):
    return Executions(SecretStr(own_url))


@pytest.fixture
def engine(own_url):
    return DBOSClient(system_database_url=own_url)


@pytest.fixture
def waiting(database):
    return WaitingJobs(database, PLACES)


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def running():
    """Executions that are under way in this process."""
    return set()


@pytest.fixture
def sweeper(database, book, executions, waiting, told, running):
    wanted, kinds = JobExecutions(database), {"kind": told}
    return JobSweeper(wanted, executions, book, waiting, kinds, lambda: running)


@pytest.fixture
async def owner(database):
    tenant = f"swept-{secrets.token_hex(4)}"
    await database.execute("INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')", tenant)
    return Principal(tenant, "k", "free", "0", frozenset())


@pytest.fixture
def execute(engine):
    """Have the durable engine know of an execution, which nothing here runs."""

    async def execute(job):
        options = {"workflow_name": "job", "queue_name": "nobody", "workflow_id": job.execution}
        await asyncio.to_thread(engine.enqueue, options | {"application_name": NAME}, job.id)

    return execute


async def waits(waiting, job):
    """Whether it is given a place."""
    return job.id in {each.id for each in await waiting.claim(["kind"])}


async def test_a_job_whose_gateway_died_before_it_was_handed_over_is_run(
    book, waiting, sweeper, owner
):
    job = await book.add(owner, "kind", "job_", {}, waiting=False)
    await sweeper.sweep()
    assert not await waits(waiting, job), "its gateway may be about to hand it over"
    await sweeper.sweep()
    assert await waits(waiting, job)


async def test_a_job_that_was_claimed_by_a_process_that_died_is_run(book, waiting, sweeper, owner):
    job = await book.add(owner, "kind", "job_", {})
    await sweeper.sweep()
    await sweeper.sweep()
    assert (await book.read(job.id)).status is JobStatus.QUEUED, "it waits, it is not lost"
    assert await waits(waiting, job)
    await sweeper.sweep()
    assert (await book.read(job.id)).status is JobStatus.IN_PROGRESS
    await sweeper.sweep()
    assert (await book.read(job.id)).status is JobStatus.QUEUED
    assert await waits(waiting, job)


async def test_a_resumed_run_that_was_not_handed_over_goes_on(
    book, executions, waiting, sweeper, owner, execute
):
    job = await book.add(owner, "kind", "job_", {})
    await execute(job)
    await book.cancel(owner.tenant_id, "kind", job.id)
    await executions.cancel(job.execution)
    again = await book.reopen(owner, "kind", job.id, LATER)
    assert again.execution != job.execution
    for _ in range(2):
        assert not await waits(waiting, job)
        await sweeper.sweep()
    assert await waits(waiting, job)


async def test_what_was_cancelled_is_stopped_and_told_though_nobody_heard_of_it(
    book, executions, waiting, sweeper, told, owner, execute
):
    job = await book.add(owner, "kind", "job_", {})
    unheard = await book.add(owner, "kind", "job_", {})
    await waiting.claim(["kind"])
    await execute(job)
    for each in (job, unheard):
        await book.cancel(owner.tenant_id, "kind", each.id)
    assert (await executions.known([job.id]))[job.id]
    await sweeper.sweep()
    assert await executions.known([job.id, unheard.id]) == {job.id: False}
    assert {(job.id, "cancelled"), (unheard.id, "cancelled")} <= set(told.ends)


async def test_a_job_whose_execution_ended_without_a_word_does_not_wait_for_ever(
    book, executions, waiting, sweeper, told, owner, execute
):
    job = await book.add(owner, "kind", "job_", {})
    await waiting.claim(["kind"])
    await execute(job)
    await executions.cancel(job.execution)
    for _ in range(2):
        await sweeper.sweep()
    job = await book.read(job.id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "internal_error")
    assert (job.id, "failed") in told.ends


async def test_what_is_under_way_is_left_alone_and_what_only_seems_to_be_goes_on(
    book, waiting, sweeper, told, owner, execute, running, database
):
    async def queue_of(job):
        statement = "SELECT queue_name FROM dbos.workflow_status WHERE workflow_uuid = $1"
        return (await database.row(statement, job.execution))["queue_name"]

    job = await book.add(owner, "kind", "job_", {})
    left = await book.add(owner, "kind", "job_", {})
    await waiting.claim(["kind"])
    for each in (job, left):
        await execute(each)
    running.add(job.execution)
    await sweeper.sweep()
    assert [await queue_of(each) for each in (job, left)] == ["nobody", "nobody"]
    for _ in range(2):
        await sweeper.sweep()
    assert [await queue_of(each) for each in (job, left)] == ["nobody", "_dbos_internal_queue"]
    for each in (job, left):
        assert (await book.read(each.id)).status is JobStatus.IN_PROGRESS
    assert not [end for end in told.ends if end[0] in (job.id, left.id)]
