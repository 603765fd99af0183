"""The starter of jobs: those that wait are begun when there is a place, cancelled ones are stopped.

Place in the path: in the jobs application, between the rows of jobs (`auth.waiting_jobs`) and what
runs them (`graphs.durable`). PostgreSQL tells it of jobs that begin to wait; it looks once a second
besides, so that word which was lost costs that second. It knows neither kinds nor callers.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

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
"""Between two looks, however much is said: jobs that come at once are claimed at once."""
logger = logging.getLogger("ray.serve")


class JobStarter:
    """Runs for ever.

    Args:
        kinds: of jobs, by name, that `durable` can run.
    """

    def __init__(
        self,
        waiting: WaitingJobs,
        wanted: JobExecutions,
        durable: Durable,
        executions: Executions,
        kinds: Collection[str],
    ) -> None:
        self._waiting = waiting
        self._wanted = wanted
        self._durable = durable
        self._executions = executions
        self._kinds = tuple(kinds)
        self._watch = Watch(LEAST_S)
        durable.freed = self.look

    def look(self) -> None:
        """Look now: a job was handed over or cancelled, or there is room again."""
        self._watch.tell()

    async def run(self) -> None:
        """Look, wait, again. What it cannot reach waits for the next time."""
        while True:
            await self._watch.change(POLL_S)
            try:
                await self._start_waiting()
                await self._stop_cancelled()
            except CarillonError as error:
                logger.warning("jobs are not begun: %s", error)

    async def _start_waiting(self) -> None:
        claimed = await self._waiting.claim(self._kinds)
        await asyncio.gather(*(self._start(job) for job in claimed))

    async def _start(self, job: Job) -> None:
        """One that was claimed. Should its way back fail as well, the sweeper finds it."""
        try:
            await self._durable.start(job)
        except (SQLAlchemyError, OSError) as fault:
            logger.warning("job %s waits again: %s", job.id, type(fault).__name__)
            with suppress(CarillonError):
                await self._waiting.put_back(job)

    async def _stop_cancelled(self) -> None:
        running = dict(self._durable.running)
        if running:
            wanted = await self._wanted.still_wanted(running.values())
            for execution in running.keys() - wanted:
                await self._executions.cancel(execution)
