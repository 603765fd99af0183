"""Watchers of jobs hear of changes at once, on real PostgreSQL; without news they look."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.job_news import CHANNEL, JobNews, Watch
from auth.jobs import Job, JobBook
from auth.principal import Principal

LONG_S = 30.0
LISTENING = "SELECT pid FROM pg_stat_activity WHERE query = $1"
LISTEN = f'LISTEN "{CHANNEL}"'


@pytest.fixture
async def news(database_url: str) -> AsyncIterator[JobNews]:
    own = Database(SecretStr(database_url), connections=1)
    news = JobNews(own)
    running = asyncio.create_task(news.run())
    yield news
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await own.aclose()


@pytest.fixture
def book(database: Database) -> JobBook:
    return JobBook(database)


@pytest.fixture
async def job(book: JobBook, owner: Principal) -> Job:
    return await book.add(owner, "video", "video_", {})


async def listener(database: Database, other_than: int = 0) -> int:
    """The process of PostgreSQL that listens for us."""
    for _ in range(200):
        rows = await database.fetch(LISTENING, LISTEN)
        if found := [row["pid"] for row in rows if row["pid"] != other_than]:
            return int(found[0])
        await asyncio.sleep(0.02)
    raise TimeoutError


async def waited(watch: Watch) -> float:
    began = time.monotonic()
    await watch.change(LONG_S)
    return time.monotonic() - began


async def test_every_change_of_a_job_is_heard_also_one_that_its_tenant_makes(
    database: Database, news: JobNews, book: JobBook, job: Job
) -> None:
    await listener(database)
    with news.of(job.id) as watch:
        assert await waited(watch) < 1, "what changed before it watched is news"
        for change in (
            lambda: book.begin(job.id),
            lambda: book.advance(job, 0.5, {}),
            lambda: book.cancel(job.tenant_id, "video", job.id),
        ):
            waiting = asyncio.create_task(waited(watch))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            await change()
            assert await waiting < 5


async def test_what_is_no_progress_and_what_happens_to_others_is_no_news(
    database: Database, news: JobNews, book: JobBook, job: Job, owner: Principal
) -> None:
    await listener(database)
    other = await book.add(owner, "video", "video_", {})
    await book.begin(job.id)
    await asyncio.sleep(0.2)  # that is told before the watch begins
    with news.of(job.id) as watch:
        await waited(watch)
        await book.begin(other.id)
        await book.advance(job, 0, {"attempt": "a"})
        began = time.monotonic()
        await watch.change(0.3)
        assert time.monotonic() - began >= 0.3
    assert not news._watches, "nobody watches any more"


async def test_a_listener_whose_connection_was_cut_listens_again(
    database: Database, news: JobNews, book: JobBook, job: Job
) -> None:
    before = await listener(database)
    await database.execute("SELECT pg_terminate_backend($1)", before)
    await listener(database, other_than=before)
    with news.of(job.id) as watch:
        await waited(watch)
        await book.begin(job.id)
        assert await waited(watch) < 5


async def test_without_news_a_watcher_looks_when_it_is_time_and_not_all_the_time() -> None:
    deaf = JobNews(Database(SecretStr("postgresql://nobody@127.0.0.1:9/none")))
    running = asyncio.create_task(deaf.run())
    with deaf.of("job") as watch:
        began = time.monotonic()
        for _ in range(4):
            await watch.change(0.1)
        assert 0.3 <= time.monotonic() - began < 5
    assert not running.done(), "a store that is away ends nothing"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_flood_of_news_is_looked_at_now_and_then() -> None:
    watch, looks = Watch(), 0
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        watch.tell()
        await watch.change(LONG_S)
        looks += 1
    assert looks <= 16
