"""The line of jobs, on real PostgreSQL: who is next, and that nobody is given a place twice."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine

import asyncpg
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.jobs import Job, JobBook, JobStatus
from auth.principal import Principal
from auth.waiting_jobs import WaitingJobs

PLACES = 4
Added = Callable[..., Coroutine[None, None, list[Job]]]


@pytest.fixture
def kind() -> str:
    """Of this test alone."""
    return f"kind-{secrets.token_hex(4)}"


@pytest.fixture
def book(database: Database) -> JobBook:
    return JobBook(database)


@pytest.fixture
def waiting(database: Database) -> WaitingJobs:
    return WaitingJobs(database, PLACES)


@pytest.fixture
def added(database: Database, book: JobBook, kind: str) -> Added:
    async def added(tenant: str, count: int) -> list[Job]:
        await database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'free') ON CONFLICT DO NOTHING",
            tenant,
        )
        owner = Principal(tenant, "k", "free", "0", frozenset())
        return [await book.add(owner, kind, "job_", {}) for _ in range(count)]

    return added


def ids(jobs: list[Job]) -> set[str]:
    return {job.id for job in jobs}


async def test_the_oldest_come_first_and_one_tenant_has_half_of_the_places(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str
) -> None:
    loud = await added("line-loud", 5)
    quiet = await added("line-quiet", 1)
    claimed = await waiting.claim([kind])
    assert ids(claimed) == ids(loud[:2] + quiet)
    assert {job.status for job in claimed} == {JobStatus.IN_PROGRESS}
    assert not await waiting.claim([kind])
    await book.complete(loud[1].id, {})
    assert ids(await waiting.claim([kind])) == {loud[2].id}


async def test_all_places_of_a_kind_are_taken_by_those_of_whom_fewest_run(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str
) -> None:
    first = await added("line-a", 2)
    assert ids(await waiting.claim([kind])) == ids(first)
    later = {name: await added(name, 2) for name in ("line-b", "line-c", "line-d")}
    begun = ids(await waiting.claim([kind]))
    first_ones = {jobs[0].id for jobs in later.values()}
    assert len(begun) == 2
    assert begun < first_ones
    await book.complete(first[0].id, {})
    assert ids(await waiting.claim([kind])) == first_ones - begun


async def test_no_backlog_of_others_keeps_a_newcomer_waiting_for_long(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str
) -> None:
    for number in range(PLACES):
        await added(f"line-old-{number}", 20)
    running = list(await waiting.claim([kind]))
    (newcomer,) = await added("line-new", 1)
    for _ in range(60):  # by lot: each time it is one of two
        await book.complete(running.pop(0).id, {})
        running += await waiting.claim([kind])
        if newcomer.id in ids(running):
            return
    pytest.fail("it waits for the backlog of others")


async def test_a_burst_of_jobs_is_little_work_for_those_who_look(
    waiting: WaitingJobs, database: Database, added: Added, kind: str
) -> None:
    kinds = [f"{kind}-{number}" for number in range(4)]
    for number in range(20):
        await added(f"line-burst-{number}", 0)
    many = (
        "INSERT INTO jobs (id, tenant_id, api_key_id, kind, request, status, waiting_since)"
        " SELECT $1 || '-' || n, 'line-burst-' || n % 20, 'k', $1 || '-' || n % 4,"
        " jsonb_build_object('asked', repeat('x', 300)), $2, CASE WHEN $3 THEN now() END"
        " FROM generate_series($4::int, $5::int) AS n"
    )
    await database.execute(many, kind, "completed", False, 1, 20_000)
    await database.execute("ANALYZE jobs")  # as far as it knows, nothing waits
    await database.execute(many, kind, "queued", True, 20_001, 22_000)
    assert len(await waiting.claim(kinds)) == 4 * PLACES
    async with asyncio.timeout(1):  # a line made anew for each row takes several seconds
        assert not await waiting.claim(kinds)
    await database.execute("DELETE FROM jobs WHERE kind = ANY ($1)", kinds)


async def test_kinds_keep_no_places_from_each_other(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str, owner: Principal
) -> None:
    await added("line-a", 2)
    await added("line-b", 2)
    other = await book.add(owner, f"{kind}-other", "job_", {})
    assert len(await waiting.claim([kind])) == PLACES
    assert ids(await waiting.claim([kind, f"{kind}-other"])) == {other.id}
    assert not await waiting.claim(["of another application"])


async def test_two_who_claim_at_once_are_never_given_the_same_job(
    database_url: str, database: Database, added: Added, kind: str
) -> None:
    many = [job for name in range(8) for job in await added(f"line-{name}", 2)]
    others = [Database(SecretStr(database_url)) for _ in range(4)]
    lines = [WaitingJobs(each, 100) for each in others]
    claims = await asyncio.gather(*(line.claim([kind]) for line in lines for _ in range(4)))
    claimed = [job.id for claim in claims for job in claim]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == ids(many)
    for each in others:
        await each.aclose()


async def test_what_ended_waits_no_longer_and_is_not_put_back(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str, database: Database
) -> None:
    cancelled, failed, completed = await added("line-a", 3)
    await book.cancel("line-a", kind, cancelled.id)
    await book.fail(failed.id, "x", "x")
    await book.complete(completed.id, {})
    for job in (cancelled, failed, completed):
        await waiting.put_back(job)
        await book.hand_over(job)
    assert not await waiting.claim([kind])
    with pytest.raises(asyncpg.CheckViolationError):
        await database.execute("UPDATE jobs SET waiting_since = now() WHERE id = $1", failed.id)


async def test_one_whose_runner_died_waits_again_unless_it_was_resumed_since(
    waiting: WaitingJobs, book: JobBook, added: Added, kind: str, owner: Principal
) -> None:
    (lost,) = await added("line-a", 1)
    assert await waiting.claim([kind])
    await waiting.put_back(lost)
    assert (await book.read(lost.id)).status is JobStatus.QUEUED
    assert ids(await waiting.claim([kind])) == {lost.id}
    await book.fail(lost.id, "x", "x")
    resumer = Principal("line-a", "k", "free", "0", frozenset())
    again = await book.reopen(resumer, kind, lost.id, lost.created_at)
    await waiting.put_back(lost)
    assert not await waiting.claim([kind]), "the execution that was lost is of the past"
    await book.hand_over(again)
    (claimed,) = await waiting.claim([kind])
    assert (claimed.id, claimed.execution) == (lost.id, f"{lost.id}.1")
