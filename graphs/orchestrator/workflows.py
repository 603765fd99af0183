"""Workflows: runs as jobs, so that they go on whatever is killed.

Place in the path: a kind of job (`ingress.job_kind`) of one piece, which is the whole run: the
journal knows better than the durable engine which of its steps have ended. When a run has ended,
whoever asked to hear of it is told by another job (`graphs.webhooks`).
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from auth.admission import Admission
from auth.jobs import Job, JobBook
from auth.promises import Promises
from auth.workflow_steps import StepBook
from core.errors import DeadlineExceeded, StoreUnavailable
from core.workflow import Workflow
from graphs.orchestrator.execution import AT_ONCE, Execution
from graphs.orchestrator.journal import Journal
from graphs.orchestrator.outputs import Outputs
from graphs.orchestrator.places import Places
from graphs.orchestrator.repeats import Repeats
from graphs.orchestrator.step_calls import StepCalls
from graphs.orchestrator.step_run import Surroundings
from graphs.orchestrator.values import Values
from graphs.orchestrator.versions import Versions
from ingress.catalog import Catalog
from ingress.exchange import validate
from ingress.job_kind import Outcome
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.workflow_plan import Plan, planned
from ingress.workflow_runs import followed_by_webhook

UNTOLD = 0.99
"""Progress of a run whose steps have all ended, until its outputs are there."""
TOO_LONG = "the run did not end in its time: see 'expires_at'; resume it to go on"


class Workflows:
    """Runs workflows."""

    name = "workflow"
    in_one = True

    def __init__(
        self,
        path: RequestPath,
        book: JobBook,
        steps: StepBook,
        media: MediaStore,
        admission: Admission,
        promises: Promises,
        versions: Versions,
    ) -> None:
        self.catalog = Catalog([])
        self._book = book
        self._steps = steps
        self._media = media
        self._promises = promises
        self._outputs = Outputs(media)
        repeats = Repeats(steps, self._outputs, media)
        self._calls = StepCalls(path, admission, media, versions, repeats)
        self._places = Places()
        self._running: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def plan(self, job: Job) -> int:
        """One piece. Raises InvalidRequest, ModelNotFound for models that are gone by now."""
        await self._planned(job)
        return 1

    async def piece(self, job: Job, index: int) -> Outcome:
        """Go on with the run, to its end."""
        lock = self._running.setdefault(job.id, asyncio.Lock())
        # A run that was resumed at once waits until what was cancelled has gone.
        async with lock:
            fresh = await self._book.read(job.id)
            is_over = fresh.status.is_final or fresh.execution != job.execution
            return {} if is_over else await self._run(fresh)

    async def finish(self, job: Job, outcomes: list[Outcome]) -> Outcome:
        """What the piece said."""
        return outcomes[0]

    async def ended(self, job: Job) -> None:
        """Give back what it held of budgets, and have whoever asked for it told. Of one that was
        resumed by now, the next end is.
        """
        if not job.status.is_final:
            return
        await self._promises.end(job.execution)
        if "webhook" in job.request["workflow"]:
            await followed_by_webhook(self._book, job)

    async def _run(self, job: Job) -> Outcome:
        plan = await self._planned(job)
        journal = Journal(job, self._steps)
        values = Values(
            job.tenant_id, plan.workflow.inputs, journal.ended, self._outputs, self._media
        )
        around = Surroundings(
            *(job, journal, self._calls, self._outputs, values, self._promises),
            self._places,
            asyncio.Semaphore(AT_ONCE),
        )

        async def told(share: float) -> None:
            with suppress(StoreUnavailable):  # the next word will do
                known = {"blobs": sorted(journal.blobs)}
                await self._book.advance(job, min(share, UNTOLD), known)

        execution = Execution(plan, around, told)
        outcome: Outcome = {}
        try:
            async with asyncio.timeout(seconds_left(job)) as deadline:
                outcome = await execution.run()
        except TimeoutError:
            if not deadline.expired():
                raise
            execution.failure = (DeadlineExceeded.code, TOO_LONG)
        await self._promises.end(job.execution)
        if execution.failure is not None:
            await self._book.fail(job.id, *execution.failure, job.execution)
        return outcome

    async def _planned(self, job: Job) -> Plan:
        workflow = validate(Workflow, job.request["workflow"])
        return await asyncio.to_thread(planned, workflow, self.catalog)


def seconds_left(job: Job) -> float | None:
    """Until a run has to have ended; None for one that may go on for ever."""
    if job.expires_at is None:
        return None
    return (job.expires_at - datetime.now(UTC)).total_seconds()
