"""The starter of jobs: those that wait are begun when there is a place, cancelled ones are stopped.

Place in the path: in the jobs application, between the rows of jobs (`auth.waiting_jobs`) and what
runs them (`graphs.durable`). PostgreSQL tells of jobs that begin to wait; it looks once a second
besides, so that word which was lost costs that second. It knows neither kinds nor callers.
"""

import asyncio
import logging
from collections.abc import Collection

from auth.job_executions import JobExecutions
from auth.job_news import Watch
from auth.job_rows import Job
from auth.waiting_jobs import WaitingJobs
from core.errors import CarillonError
from graphs.durable import Durable
from graphs.executions import Executions

POLL_S = 1.0
"""Between looks when nobody says anything."""
LEAST_S = 0.005
"""Between two looks, however much is said: jobs that come one by one are claimed at once."""
logger = logging.getLogger("ray.serve")


class JobStarter:
    """Runs for ever.

    Args:
        kinds: of jobs, by name, that `durable` can run.
        news: told when a job was handed over or cancelled, or has left its place.
    """

    def __init__(
        self,
        waiting: WaitingJobs,
        wanted: JobExecutions,
        durable: Durable,
        executions: Executions,
        kinds: Collection[str],
        news: Watch,
    ) -> None:
        self._waiting = waiting
        self._wanted = wanted
        self._durable = durable
        self._executions = executions
        self._kinds = tuple(kinds)
        self._news = news
        self._starting: set[asyncio.Task[None]] = set()
        self._stopped: set[str] = set()

    async def run(self) -> None:
        """Look, wait, again. What it cannot reach waits for the next time."""
        while True:
            await self._news.change(POLL_S)
            try:
                await self._start_waiting()
                await self._stop_cancelled()
            except CarillonError as error:
                logger.warning("jobs are not begun: %s", error)

    async def _start_waiting(self) -> None:
        for job in await self._waiting.claim(self._kinds):
            task = asyncio.create_task(self._start(job))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, job: Job) -> None:
        """One that was claimed. Nobody waits for it here: the engine waits for its database."""
        try:
            await self._durable.start(job)
        except Exception:  # one job must not keep others from being begun
            logger.exception("job %s is left to the sweeper", job.id)

    async def _stop_cancelled(self) -> None:
        running = self._durable.running
        self._stopped &= running.keys()
        if running:
            wanted = await self._wanted.still_wanted(running.values())
            for execution in running.keys() - wanted - self._stopped:
                await self._executions.cancel(execution)
                self._stopped.add(execution)
