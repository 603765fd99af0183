"""Jobs on real PostgreSQL, in a process that is killed: no piece is done twice, none is lost."""

import asyncio
import signal
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.jobs import JobBook, JobStatus
from auth.principal import Principal
from core.errors import Conflict, NotFound
from core.settings import ROOT
from graphs.durable import Durable
from graphs.executions import Executions

pytestmark = pytest.mark.timeout(120)
PAUSE_S = 0.05


@pytest.fixture
async def database(database_url):
    database = Database(SecretStr(database_url))
    for tenant in ("jobs-1", "jobs-2", "jobs-3"):
        await database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, 'free') ON CONFLICT DO NOTHING",
            tenant,
        )
    yield database
    await database.aclose()


@pytest.fixture
def book(database):
    return JobBook(database)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


def principal(tenant="jobs-1"):
    return Principal(tenant_id=tenant, key_id="k", plan="free", epoch="0", scopes=frozenset())


@asynccontextmanager
async def runner(url, log, *options):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.graphs.job_process",
        url,
        str(log),
        *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"ready"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()


async def until(condition, seconds=60):
    for _ in range(int(seconds / PAUSE_S)):
        if await condition():
            return
        await asyncio.sleep(PAUSE_S)
    raise TimeoutError


async def run_and_kill(url, log, when):
    async with runner(url, log) as process:
        await until(when)
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def ended(book, job):
    async def is_final():
        return (await book.read(job.id)).status.is_final

    await until(is_final)
    return await book.read(job.id)


async def added(book, kind="counting", tenant="jobs-1", **request):
    return await book.add(principal(tenant), kind, "job_", request)


def notes(log, job):
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    return [what for name, what in lines if name == job.id]


async def test_a_job_runs_even_if_nobody_was_there_when_it_was_asked_for(database_url, book, log):
    job = await added(book, pieces=3)
    async with runner(database_url, log):
        end = await ended(book, job)
    assert end.status is JobStatus.COMPLETED
    assert end.result == {"sum": 3}
    assert notes(log, job).count("plan") == 1


async def test_a_job_begins_at_once_and_without_word_of_it_a_little_later(database_url, book, log):
    async def took():
        began = time.monotonic()
        await ended(book, await added(book, pieces=1))
        return time.monotonic() - began

    async with runner(database_url, log, "60"):
        assert max([await took() for _ in range(3)]) < 10
    async with runner(database_url, log, "0.5", "deaf"):
        assert await took() < 10


async def test_a_job_that_is_handed_over_later_waits_for_that(database_url, database, book, log):
    job = await book.add(principal(), "counting", "job_", {"pieces": 1}, waiting=False)
    async with runner(database_url, log, "60"):
        await ended(book, await added(book, pieces=1))
        assert (await book.read(job.id)).status is JobStatus.QUEUED
        for _ in range(2):
            await book.hand_over(job)
        await ended(book, job)
        await book.hand_over(job)
    assert notes(log, job).count("plan") == 1


async def test_a_job_that_waits_for_a_place_begins_when_one_is_free(database_url, book, log):
    async with runner(database_url, log, "60"):
        jobs = [await added(book, pieces=1) for _ in range(5)]
        async with asyncio.timeout(30):
            for job in jobs:
                await ended(book, job)


async def test_a_killed_process_repeats_nothing_that_was_finished(database_url, book, log):
    job = await added(book, pieces=6, slow_at=3)

    async def at_the_slow_piece():
        return "begin 3" in notes(log, job)

    await run_and_kill(database_url, log, at_the_slow_piece)
    async with runner(database_url, log):
        end = await ended(book, job)
    assert end.status is JobStatus.COMPLETED
    assert end.result == {"sum": 15}
    done = notes(log, job)
    assert [done.count(f"begin {index}") for index in range(6)] == [1, 1, 1, 2, 1, 1]
    assert [done.count(f"done {index}") for index in range(6)] == [1] * 6


async def test_a_job_in_one_step_is_done_again_from_its_beginning_and_ends_once(
    database_url, database, book, log
):
    job = await added(book, "whole", pieces=3, slow_at=1)
    wrong = await added(book, "whole", pieces=2, fails_at=1)

    async def at_the_slow_piece():
        return "begin 1" in notes(log, job) and (await book.read(wrong.id)).status.is_final

    async def steps():
        rows = await database.fetch(
            "SELECT function_name FROM dbos.operation_outputs WHERE workflow_uuid = $1"
            " ORDER BY function_id",
            job.execution,
        )
        return [row["function_name"].rpartition(".")[2] for row in rows]

    await run_and_kill(database_url, log, at_the_slow_piece)
    async with runner(database_url, log):
        end = await ended(book, job)

        async def told():
            return await steps() == ["begin", "ended"]

        await until(told)
    assert (end.status, end.result) == (JobStatus.COMPLETED, {"sum": 3})
    assert notes(log, job) == [
        *("plan", "begin 0", "done 0", "begin 1"),
        *("plan", "begin 0", "done 0", "begin 1", "done 1", "begin 2", "done 2"),
        "ended completed",
    ]
    assert (await book.read(wrong.id)).error_code == "invalid_request"


async def test_what_is_away_is_waited_for_and_what_is_wrong_is_not(database_url, book, log):
    away = await added(book, pieces=2, away_at=1)
    wrong = await added(book, pieces=4, fails_at=1)
    async with runner(database_url, log):
        assert (await ended(book, away)).status is JobStatus.COMPLETED
        end = await ended(book, wrong)
    assert end.status is JobStatus.FAILED
    assert end.error_code == "invalid_request"
    assert end.error_message == "this piece can never be done"
    assert notes(log, wrong).count("begin 1") == 1
    assert "begin 2" not in notes(log, wrong)


async def test_a_job_that_meets_a_bug_fails_and_does_not_tell_it(database_url, book, log):
    job = await added(book, pieces=2, breaks_at=0)
    async with runner(database_url, log):
        end = await ended(book, job)
    assert (end.status, end.error_code) == (JobStatus.FAILED, "internal_error")
    assert end.error_message == "internal error"


async def test_one_tenants_jobs_leave_places_to_others(database_url, book, log):
    slow = [await added(book, pieces=1, slow_at=0) for _ in range(6)]
    other = await added(book, tenant="jobs-3", pieces=1)
    async with runner(database_url, log):
        assert (await ended(book, other)).status is JobStatus.COMPLETED

        async def half_of_the_runners_four_places_are_taken():
            return sum("begin 0" in notes(log, job) for job in slow) >= 2

        await until(half_of_the_runners_four_places_are_taken)
        assert sum("begin 0" in notes(log, job) for job in slow) == 2
        for job in slow:
            await book.cancel("jobs-1", "counting", job.id)


async def test_a_cancelled_job_stops_where_it_is(database_url, book, log):
    job = await added(book, pieces=3, slow_at=1)

    async def at_the_slow_piece():
        return "begin 1" in notes(log, job)

    async with runner(database_url, log):
        await until(at_the_slow_piece)
        await book.cancel("jobs-1", "counting", job.id)

        async def stopped():
            return notes(log, job)[-1] == "stopped 1"

        await until(stopped, 20)
        assert await Executions(SecretStr(database_url)).known([job.id]) == {job.id: False}
    assert (await book.read(job.id)).status is JobStatus.CANCELLED
    other = await book.add(principal(), "counting", "job_", {})
    await book.complete(other.id, {})
    with pytest.raises(Conflict):
        await book.cancel("jobs-1", "counting", other.id)


async def test_a_job_that_a_dead_process_left_is_stopped_as_well(database_url, book, log):
    job = await added(book, pieces=3, slow_at=1)

    async def at_the_slow_piece():
        return "begin 1" in notes(log, job)

    await run_and_kill(database_url, log, at_the_slow_piece)
    again = await added(book, pieces=1, slow_at=0)  # the first slow piece is slow once

    async def has_begun():
        return "begin 0" in notes(log, again)

    async with runner(database_url, log):
        await until(has_begun)
        await book.cancel("jobs-1", "counting", again.id)
        assert (await ended(book, job)).status is JobStatus.COMPLETED

        async def stopped():
            return notes(log, again)[-1] == "stopped 0"

        await until(stopped, 20)


async def test_an_execution_of_the_past_does_not_touch_a_job_that_was_resumed_since(
    database_url, book, log
):
    job = await added(book, pieces=3, slow_at=1)

    async def at_the_slow_piece():
        return "begin 1" in notes(log, job)

    await run_and_kill(database_url, log, at_the_slow_piece)
    await book.cancel("jobs-1", "counting", job.id)
    later = datetime.now(UTC) + timedelta(days=1)
    resumed = await book.reopen(principal(), "counting", job.id, later)
    async with runner(database_url, log):  # which goes on with the execution that it finds

        async def past_is_over():
            known = await Executions(SecretStr(database_url)).known([job.execution])
            return known == {job.execution: False}

        await until(past_is_over)
        assert (await book.read(job.id)).status is JobStatus.QUEUED
        await book.complete(job.id, {"sum": 0}, job.execution)
        await book.fail(job.id, "x", "x", job.execution)
        assert (await book.begin(job.id, job.execution)).status is JobStatus.QUEUED
        await book.hand_over(resumed)
        end = await ended(book, job)
    assert (end.status, end.result["sum"]) == (JobStatus.COMPLETED, 3)


async def test_an_execution_runs_until_the_last_of_its_bodies_has_left():
    freed = []
    durable = Durable.__new__(Durable)
    durable._bodies, durable._loop = {}, asyncio.get_running_loop()
    durable._freed = lambda: freed.append(dict(durable.running))
    with durable._runs("job_1.2", "job_1"):
        with durable._runs("job_1.2", "job_1"), durable._runs("job_2", "job_2"):
            assert durable.running == {"job_1.2": "job_1", "job_2": "job_2"}
        assert durable.running == {"job_1.2": "job_1"}
    assert not durable.running
    await asyncio.sleep(0)
    assert freed == [{}] * 3


async def test_tenants_do_not_see_each_others_jobs(book):
    job = await book.add(principal(), "counting", "job_", {"pieces": 1})
    with pytest.raises(NotFound):
        await book.find("jobs-2", "counting", job.id)
    with pytest.raises(NotFound):
        await book.cancel("jobs-2", "counting", job.id)
    assert not (await book.page("jobs-2", "counting", None, 20)).items
    assert job.id in {each.id for each in (await book.page("jobs-1", "counting", None, 20)).items}
