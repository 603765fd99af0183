"""Durable execution: a job is done to its end, whatever is killed.

Place in the path: under the jobs application, over DBOS, which keeps in PostgreSQL which steps of
which workflow are done (https://docs.dbos.dev). What the steps do is `ingress.job_kind`'s; what
tenants see is `auth.jobs`'s. It knows neither models nor callers.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from dbos import DBOS, DBOSConfig, error
from dbos._queue import queue_worker_thread
from pydantic import SecretStr

from auth.jobs import JobBook
from core.errors import CarillonError, ModelUnavailable, NotFound, Unavailable
from graphs.alarm import Alarm
from graphs.job_queue import NAME, VERSION, WORKFLOW, queue_of
from graphs.patience import patiently
from ingress.job_kind import JobKind, Outcome

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("ray.serve")
EXECUTOR = "jobs"
"""One name for all processes that ever run jobs: a new one takes over what an old one left."""
RECOVERIES = 100
ATTEMPTS = 8
FIRST_RETRY_S = 1.0
POLL_S = 1.0
"""Between looks for jobs that nobody rang for: each costs an idle machine something."""
GONE_S = 0.05
"""After its last step a job has left its place to one that waits."""


class Durable:
    """Runs jobs in this process.

    Args:
        database_url: PostgreSQL's; DBOS makes its own schema there.
        kinds: by name.
        concurrency: how many jobs of each kind at once; one tenant has at most half of them.
    """

    def __init__(
        self, database_url: SecretStr, book: JobBook, kinds: Mapping[str, JobKind], concurrency: int
    ) -> None:
        self._book = book
        self._kinds = kinds
        self._concurrency = concurrency
        # Stores and handles belong to this loop; DBOS has a loop of its own.
        self._loop = asyncio.get_running_loop()
        config: DBOSConfig = {
            "name": NAME,
            "system_database_url": database_url.get_secret_value(),
            "application_version": VERSION,
            "executor_id": EXECUTOR,
            "log_level": "WARNING",
            "enable_otlp": False,
            # Of messages between workflows, which jobs have none of: the default wakes a thread a
            # hundred times a second.
            "notification_coalesce_sec": POLL_S,
            # It tries again by itself when a connection has gone: asking each one before each use
            # is a round trip more for every step.
            "db_engine_kwargs": {"pool_pre_ping": False},
        }
        self._dbos = DBOS(config=config)
        DBOS.listen_queues([])  # its own workers could not be woken
        self._alarms = {kind: Alarm() for kind in kinds}
        self._workers: list[threading.Thread] = []
        self._declare()

    async def launch(self) -> None:
        """Begin to run jobs: those that a dead process left first."""
        await asyncio.to_thread(DBOS.launch)
        for kind, alarm in self._alarms.items():
            queue = await asyncio.to_thread(
                DBOS.register_queue,
                queue_of(kind),
                worker_concurrency=self._concurrency,
                partition_worker_concurrency=max(1, self._concurrency // 2),
                polling_interval_sec=POLL_S,
            )
            worker = threading.Thread(
                target=queue_worker_thread,
                args=(alarm, self._dbos, queue),
                name=f"look-{queue.name}",
                daemon=True,
            )
            worker.start()
            self._workers.append(worker)

    def check_health(self) -> None:
        """Raises when a worker has died: jobs of its kind would wait for ever."""
        for worker in self._workers:
            if not worker.is_alive():
                raise RuntimeError(f"{worker.name} ended")

    def look(self, kind: str) -> None:
        """Look for jobs of a kind now: one was handed over, or there is room again."""
        if kind in self._alarms:
            self._alarms[kind].ring()

    async def stop(self) -> None:
        """Cease, leaving what runs to whoever comes next."""
        for alarm in self._alarms.values():
            alarm.set()
        await asyncio.to_thread(DBOS.destroy)

    def _declare(self) -> None:
        begin, piece = self._step("begin", self._begin), self._step("piece", self._piece)
        finish, ended = self._step("finish", self._finish), self._step("ended", self._ended)
        fail = self._step("fail", self._book.fail)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=RECOVERIES)
        async def job(job_id: str) -> None:
            try:
                if count := await begin(job_id):
                    await finish(job_id, [await piece(job_id, index) for index in range(count)])
            except Exception as fault:  # noqa: BLE001  # a job's caller must not wait for ever
                await fail(job_id, *_told(fault, job_id))
            await ended(job_id)

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

    async def _begin(self, job_id: str) -> int:
        """How many pieces are left, each a step of its own; of a kind that is done in one step all
        are done here.
        """
        job = await self._book.begin(job_id)
        if job.status.is_final:
            return 0
        kind = self._kinds[job.kind]
        count = await kind.plan(job)
        if not kind.in_one:
            return count
        outcomes = [await kind.piece(job, index) for index in range(count)]
        result = await kind.finish(job, outcomes)
        # Tried again by itself: only who is killed here does the pieces again.
        await patiently(job, lambda: self._book.complete(job_id, result))
        return 0

    async def _piece(self, job_id: str, index: int) -> Outcome:
        job = await self._book.read(job_id)
        if job.status.is_final:
            return {}
        return await self._kinds[job.kind].piece(job, index)

    async def _finish(self, job_id: str, outcomes: list[Outcome]) -> None:
        job = await self._book.read(job_id)
        if not job.status.is_final:
            await self._book.complete(job_id, await self._kinds[job.kind].finish(job, outcomes))

    async def _ended(self, job_id: str) -> None:
        with suppress(NotFound):  # deleted by now
            job = await self._book.read(job_id)
            await self._kinds[job.kind].ended(job)
            self._loop.call_later(GONE_S, self.look, job.kind)

    async def _here(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the loop that owns the stores; cancelled there when cancelled here."""
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
