"""A job that is asked for twice under one name is one job."""

import asyncio
from dataclasses import replace

from auth.database import Database
from auth.directory import Directory
from auth.jobs import JobBook
from auth.principal import Principal


async def test_a_retry_after_its_gateway_died_finds_the_job(database: Database, owner: Principal):
    book = JobBook(database)
    jobs = await asyncio.gather(
        *(book.add(owner, "video", "video_", {"n": n}, once="k:0") for n in range(5))
    )
    assert len({job.id for job in jobs}) == 1
    assert len({job.request["n"] for job in jobs}) == 1, "what was asked for first"
    ended = jobs[0].id
    await book.begin(ended)
    await book.complete(ended, {})
    again = await book.add(owner, "video", "video_", {"n": 9}, once="k:0")
    assert (again.id, again.status.is_final) == (ended, True)
    assert (await book.add(owner, "video", "video_", {}, once="k:1")).id != ended


async def test_names_of_another_tenant_are_other_names(
    database: Database, directory: Directory, owner: Principal
):
    book, other = JobBook(database), await directory.create_tenant("Bob", "pro")
    mine = await book.add(owner, "batch", "batch_", {}, once="k:0")
    theirs = await book.add(replace(owner, tenant_id=other.id), "batch", "batch_", {}, once="k:0")
    assert mine.id != theirs.id
