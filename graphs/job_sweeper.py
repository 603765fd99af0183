"""The sweeper of jobs: what a job's row says and what the durable engine does are made to agree.

Place in the path: beside the jobs application, one task. A job's row and its execution are written
one after the other, so whoever dies between the two leaves a job that nothing runs, or one that was
cancelled and goes on. It has the first wait again, or go on, and stops the second, and has those
told who asked to hear of its end. All of that is harmless when it was done before. It runs no jobs.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta

from auth.job_executions import Execution, JobExecutions
from auth.jobs import Job, JobBook
from auth.waiting_jobs import WaitingJobs
from core.errors import CarillonError, NotFound
from graphs.executions import Executions
from ingress.job_kind import JobKind

PAUSE_S = 30.0
PAGE = 500
LOOKS_BACK = timedelta(days=1)
"""Of the first sweep: this application may have been away."""
OVERLAP = timedelta(minutes=5)
"""Of sweeps: a statement under way during one is seen by the next."""
LOST = "the job stopped without an end"
logger = logging.getLogger("ray.serve")


class JobSweeper:
    """Runs for ever.

    Args:
        kinds: by name.
        running: executions that are under way in this process, the only one that runs jobs.
        pause_s: between sweeps.
    """

    def __init__(
        self,
        wanted: JobExecutions,
        executions: Executions,
        book: JobBook,
        waiting: WaitingJobs,
        kinds: Mapping[str, JobKind],
        running: Callable[[], Collection[str]],
        pause_s: float = PAUSE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._wanted = wanted
        self._executions = executions
        self._book = book
        self._waiting = waiting
        self._kinds = kinds
        self._running = running
        self._pause_s = pause_s
        self._now = now
        self._suspected: set[str] = set()
        self._since = now() - LOOKS_BACK

    async def run(self) -> None:
        """Sweep, pause, again. What it cannot reach waits for the next time."""
        while True:
            try:
                await self.sweep()
            except CarillonError as error:
                logger.warning("jobs are not swept: %s", error)
            await asyncio.sleep(self._pause_s)

    async def sweep(self) -> None:
        """One sweep. What looks lost is only mended if it did before: it may be about to begin.

        Raises StoreUnavailable.
        """
        suspected: set[str] = set()
        async for execution, is_under_way in self._lost():
            if execution.name not in self._suspected:
                suspected.add(execution.name)
            else:
                await self._mend(execution, is_under_way)
        self._suspected = suspected
        await self._stop_cancelled()

    async def _lost(self) -> AsyncGenerator[tuple[Execution, bool | None], None]:
        """Executions that nothing works on: True for those that are said to be under way, False for
        those that ended without their job's row, None for those that were never begun.
        """
        after = ""
        while page := await self._wanted.under_way(after, PAGE):
            known = await self._executions.known([execution.name for execution in page])
            for execution in page:
                if not known.get(execution.name) or execution.name not in self._running():
                    yield execution, known.get(execution.name)
            after = page[-1].job_id

    async def _mend(self, execution: Execution, is_under_way: bool | None) -> None:  # noqa: FBT001  # private
        try:
            job = await self._book.read(execution.job_id)
        except NotFound:
            return
        if job.status.is_final or job.execution != execution.name:
            return  # it ended, or was resumed, this moment
        logger.warning("job %s had been lost", job.id)
        if is_under_way is None:
            await self._waiting.put_back(job)
        elif is_under_way:
            if execution.name not in self._running():  # begun by now
                await self._executions.resume(execution.name)
        else:
            await self._book.fail(job.id, CarillonError.code, LOST, execution.name)
            await self._tell(await self._book.read(job.id))

    async def _stop_cancelled(self) -> None:
        began = self._now()
        since, after = self._since, ""
        while page := await self._wanted.cancelled(since, after, PAGE):
            known = await self._executions.known([job.execution for job in page])
            for job in page:
                if known.get(job.execution):
                    await self._executions.cancel(job.execution)
                await self._tell(job)
            since, after = page[-1].ended_at or since, page[-1].id
        self._since = began - OVERLAP

    async def _tell(self, job: Job) -> None:
        if (kind := self._kinds.get(job.kind)) is not None:
            await kind.ended(job)
