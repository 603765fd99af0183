"""A process that runs jobs, for tests that kill it: `python -m tests.graphs.job_process URL LOG`.

With a third argument it looks for jobs that seldom (seconds), and with a fourth it is deaf.

Its jobs have as many pieces as their request says; each piece is a line in LOG. A piece may be
told to take long, to fail for a while, or to fail for good.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

import graphs.job_starter
from auth.database import Database
from auth.job_executions import JobExecutions
from auth.job_news import Watch
from auth.jobs import Job, JobBook
from auth.listening import Listener
from auth.waiting_jobs import WORK, WaitingJobs
from core.errors import InvalidRequest, ModelUnavailable
from graphs.durable import Durable
from graphs.executions import Executions
from graphs.job_starter import JobStarter
from ingress.job_kind import JobKind

PLACES = 4


class Counting:
    """Writes down what it does."""

    name = "counting"
    in_one = False

    def __init__(self, log: Path) -> None:
        self.log = log

    async def plan(self, job: Job) -> int:
        self._note(job, "plan")
        return int(job.request["pieces"])

    async def piece(self, job: Job, index: int) -> dict[str, int]:
        self._note(job, f"begin {index}")
        if index == job.request.get("fails_at"):
            raise InvalidRequest("this piece can never be done", "pieces")
        if index == job.request.get("breaks_at"):
            raise RuntimeError("a bug with a secret in it")
        if index == job.request.get("away_at") and self._seen(job, f"begin {index}") < 3:
            raise ModelUnavailable("not there yet")
        if index == job.request.get("slow_at") and self._seen(job, f"begin {index}") == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self._note(job, f"stopped {index}")
                raise
        self._note(job, f"done {index}")
        return {"index": index}

    async def finish(self, job: Job, outcomes: list[dict[str, int]]) -> dict[str, int]:
        return {"sum": sum(outcome["index"] for outcome in outcomes)}

    async def ended(self, job: Job) -> None:
        self._note(job, f"ended {job.status.value}")

    def _note(self, job: Job, what: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{job.id} {what}\n")

    def _seen(self, job: Job, what: str) -> int:
        return self.log.read_text().splitlines().count(f"{job.id} {what}")


class Whole(Counting):
    """Does all of a job in one step."""

    name = "whole"
    in_one = True


async def running_jobs(
    database: Database, url: SecretStr, kinds: Mapping[str, JobKind], places: int, news: Watch
) -> JobStarter:
    """What the jobs application does, for some kinds."""
    durable = Durable(url, JobBook(database), kinds, news.tell)
    await durable.launch()
    waiting, wanted = WaitingJobs(database, places), JobExecutions(database)
    return JobStarter(waiting, wanted, durable, Executions(url), kinds, news)


async def main(url: SecretStr, log: Path, *, deaf: bool) -> None:
    kinds = {kind.name: kind(log) for kind in (Counting, Whole)}
    news = Watch()
    starter = await running_jobs(Database(url), url, kinds, PLACES, news)
    listener = Listener(Database(url, connections=1), WORK, lambda _: news.tell())
    running = [starter.run()] if deaf else [starter.run(), listener.run()]
    print("ready", flush=True)  # noqa: T201  # what the test waits for
    await asyncio.gather(*running)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        graphs.job_starter.POLL_S = float(sys.argv[3])
    asyncio.run(main(SecretStr(sys.argv[1]), Path(sys.argv[2]), deaf=len(sys.argv) > 4))
