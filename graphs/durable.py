"""Durable execution: a job is done to its end, whatever is killed.

Place in the path: under the jobs application, over DBOS, which keeps in PostgreSQL which steps of
which workflow are done (https://docs.dbos.dev). What the steps do is `ingress.job_kind`'s; what
tenants see is `auth.jobs`'s. It knows neither models nor callers.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from dbos import DBOS, DBOSConfig, SetWorkflowID, error
from pydantic import SecretStr

from auth.jobs import Job, JobBook
from core.errors import CarillonError, ModelUnavailable, NotFound, Unavailable
from graphs.executions import NAME
from graphs.patience import patiently
from ingress.job_kind import JobKind, Outcome

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("ray.serve")
WORKFLOW = "job"
VERSION = "1"
"""Of the workflow here: executions of another version wait for a process that has it."""
EXECUTOR = "jobs"
"""One name for all processes that ever run jobs: a new one takes over what an old one left."""
RECOVERIES = 100
ATTEMPTS = 8
FIRST_RETRY_S = 1.0
MESSAGES_S = 1.0
"""Between looks for messages between workflows, which jobs have none of: the default wakes a thread
a hundred times a second."""


class Durable:
    """Runs jobs in this process.

    Args:
        database_url: PostgreSQL's; DBOS makes its own schema there.
        kinds: by name.
        freed: called when a job has left its place to one that waits.
    """

    def __init__(
        self,
        database_url: SecretStr,
        book: JobBook,
        kinds: Mapping[str, JobKind],
        freed: Callable[[], None],
    ) -> None:
        self._book = book
        self._kinds = kinds
        self._freed = freed
        self._bodies: dict[object, tuple[str, str]] = {}
        # Stores and handles belong to this loop; DBOS has a loop of its own.
        self._loop = asyncio.get_running_loop()
        config: DBOSConfig = {
            "name": NAME,
            "system_database_url": database_url.get_secret_value(),
            "application_version": VERSION,
            "executor_id": EXECUTOR,
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_coalesce_sec": MESSAGES_S,
            # It tries again by itself when a connection has gone: asking each one before each use
            # is a round trip more for every step.
            "db_engine_kwargs": {"pool_pre_ping": False},
        }
        DBOS(config=config)
        DBOS.listen_queues([])  # jobs wait in their rows
        self._job = self._declared()

    @property
    def running(self) -> Mapping[str, str]:
        """Executions whose work is under way here, and the jobs they are of."""
        return dict(list(self._bodies.values()))

    async def launch(self) -> None:
        """Go on with what a dead process left."""
        await asyncio.to_thread(DBOS.launch)

    async def start(self, job: Job) -> None:
        """Begin one that was claimed; one that was begun before is left to whoever has it. Returns
        when its execution is kept, and waits for PostgreSQL as long as that is away.
        """
        with SetWorkflowID(job.execution):
            await DBOS.start_workflow_async(self._job, job.id)

    def _declared(self) -> Callable[[str], Coroutine[Any, Any, None]]:
        begin, piece = self._step("begin", self._begin), self._step("piece", self._piece)
        finish, ended = self._step("finish", self._finish), self._step("ended", self._ended)
        fail = self._step("fail", self._book.fail)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=RECOVERIES)
        async def job(job_id: str) -> None:
            execution = str(DBOS.workflow_id)
            with self._runs(execution, job_id):
                try:
                    if count := await begin(job_id, execution):
                        outcomes = [await piece(job_id, execution, each) for each in range(count)]
                        await finish(job_id, execution, outcomes)
                except Exception as fault:  # noqa: BLE001  # a job's caller must not wait for ever
                    await fail(job_id, *_told(fault, job_id), execution)
            await ended(job_id)

        return job

    @contextmanager
    def _runs(self, execution: str, job_id: str) -> Iterator[None]:
        """Its work is under way, inside; then it has left its place. An execution may have two
        bodies for a while, of which DBOS ends the one that does not own it.
        """
        body = object()
        self._bodies[body] = (execution, job_id)
        try:
            yield
        finally:
            del self._bodies[body]
            self._loop.call_soon_threadsafe(self._freed)

    def _step(
        self, name: str, work: Callable[P, Coroutine[Any, Any, T]]
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """`work`, done once, in the loop that owns the stores."""

        @DBOS.step(
            name=name,
            retries_allowed=True,
            should_retry=_may_pass,
            max_attempts=ATTEMPTS,
            interval_seconds=FIRST_RETRY_S,
            preemptible=True,
        )
        async def step(*arguments: P.args, **named: P.kwargs) -> T:
            return await self._here(work(*arguments, **named))

        return step

    async def _begin(self, job_id: str, execution: str) -> int:
        """How many pieces are left, each a step of its own; of a kind that is done in one step all
        are done here.
        """
        job = await self._book.begin(job_id, execution)
        if job.status.is_final or job.execution != execution:  # resumed since
            return 0
        kind = self._kinds[job.kind]
        count = await kind.plan(job)
        if not kind.in_one:
            return count
        outcomes = [await kind.piece(job, index) for index in range(count)]
        result = await kind.finish(job, outcomes)
        # Tried again by itself: only who is killed here does the pieces again.
        await patiently(job, lambda: self._book.complete(job_id, result, execution))
        return 0

    async def _piece(self, job_id: str, execution: str, index: int) -> Outcome:
        job = await self._book.read(job_id)
        if job.status.is_final or job.execution != execution:
            return {}
        return await self._kinds[job.kind].piece(job, index)

    async def _finish(self, job_id: str, execution: str, outcomes: list[Outcome]) -> None:
        job = await self._book.read(job_id)
        if not job.status.is_final and job.execution == execution:
            result = await self._kinds[job.kind].finish(job, outcomes)
            await self._book.complete(job_id, result, execution)

    async def _ended(self, job_id: str) -> None:
        with suppress(NotFound):  # deleted by now
            job = await self._book.read(job_id)
            await self._kinds[job.kind].ended(job)

    async def _here(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the loop that owns the stores; cancelled there when cancelled here. DBOS goes on
        with what a dead process left in a loop of its own.
        """
        if asyncio.get_running_loop() is self._loop:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


def _may_pass(fault: BaseException) -> bool:
    """Whether waiting can help. What a model answered is an answer."""
    return isinstance(fault, Unavailable)


def _told(fault: Exception, job_id: str) -> tuple[str, str]:
    """What the tenant is told of a job's end: code and message."""
    if isinstance(fault, CarillonError):
        return fault.code, fault.message
    if isinstance(fault, error.DBOSMaxStepRetriesExceeded):
        last = next((each for each in fault.errors[::-1] if isinstance(each, CarillonError)), None)
        reason = f": {last.message}" if last else ""
        code = last.code if last else ModelUnavailable.code
        return code, f"a part it needs stayed away too long{reason}"
    logger.error("job %s failed", job_id, exc_info=fault)
    return CarillonError.code, "internal error"
