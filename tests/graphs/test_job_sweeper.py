"""Jobs that were lost between their row and the queue, on real PostgreSQL, DBOS's tables included.

Nothing runs jobs here: what is handed over waits.
"""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.job_executions import JobExecutions
from auth.jobs import JobBook, JobStatus
from auth.migrate import migrate
from auth.principal import Principal
from core.errors import StoreUnavailable
from graphs.job_queue import DurableQueue
from graphs.job_sweeper import JobSweeper
from ingress.handover import Handover

pytestmark = pytest.mark.timeout(120)
LATER = datetime.now(UTC) + timedelta(days=1)


class Told:
    """A kind that remembers whose end it was told."""

    name = "kind"

    def __init__(self):
        self.ends = []

    async def ended(self, job):
        self.ends.append((job.id, job.status.value))


class Away:
    """A queue that does not answer."""

    async def enqueue(self, job):
        raise StoreUnavailable("away")

    async def cancel(self, job):
        raise StoreUnavailable("away")


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
def queue(own_url):
    return DurableQueue(SecretStr(own_url))


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def sweeper(database, book, queue, told):
    return JobSweeper(JobExecutions(database), book, queue, {"kind": told})


@pytest.fixture
async def owner(database):
    tenant = f"swept-{secrets.token_hex(4)}"
    await database.execute("INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free')", tenant)
    return Principal(tenant, "k", "free", "0", frozenset())


async def test_a_job_whose_gateway_died_before_it_was_handed_over_is_run(
    book, queue, sweeper, owner
):
    lost = await book.add(owner, "kind", "job_", {})
    handed = await book.add(owner, "kind", "job_", {})
    await queue.enqueue(handed)
    await sweeper.sweep()
    assert lost.id not in await queue.known([lost.id]), "its gateway may be about to"
    await sweeper.sweep()
    assert await queue.known([lost.id, handed.id]) == {lost.id: True, handed.id: True}


async def test_a_resumed_run_that_was_not_handed_over_goes_on(book, queue, sweeper, owner):
    job = await book.add(owner, "kind", "job_", {})
    await queue.enqueue(job)
    await queue.cancel(job)
    await book.cancel(owner.tenant_id, "kind", job.id)
    again = await book.reopen(owner, "kind", job.id, LATER)
    for _ in range(2):
        await sweeper.sweep()
    assert (await queue.known([again.execution]))[again.execution]
    assert (await book.read(job.id)).status is JobStatus.QUEUED


async def test_what_was_cancelled_is_stopped_and_told_though_the_queue_was_away(
    book, queue, sweeper, told, owner
):
    job = await book.add(owner, "kind", "job_", {})
    await queue.enqueue(job)
    await book.cancel(owner.tenant_id, "kind", job.id)
    await Handover(Away()).cancel(job)
    assert (await queue.known([job.id]))[job.id]
    await sweeper.sweep()
    assert not (await queue.known([job.id]))[job.id]
    assert (job.id, "cancelled") in told.ends


async def test_a_job_whose_execution_ended_without_a_word_does_not_wait_for_ever(
    book, queue, sweeper, told, owner
):
    job = await book.add(owner, "kind", "job_", {})
    await queue.enqueue(job)
    await queue.cancel(job)
    for _ in range(2):
        await sweeper.sweep()
    job = await book.read(job.id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "internal_error")
    assert (job.id, "failed") in told.ends


async def test_what_is_under_way_is_left_alone(book, queue, sweeper, told, owner):
    job = await book.add(owner, "kind", "job_", {})
    await queue.enqueue(job)
    await book.begin(job.id)
    for _ in range(3):
        await sweeper.sweep()
    assert (await book.read(job.id)).status is JobStatus.IN_PROGRESS
    assert not [end for end in told.ends if end[0] == job.id]
