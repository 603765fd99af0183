"""Where the gateway hands jobs over to whatever process runs them.

Place in the path: `ingress.job_kind.JobQueue` over DBOS's client. A job is safe in PostgreSQL when
`enqueue` returns, even if nothing runs jobs at that moment. It runs none itself: `graphs.durable`
does. DBOS is imported with the first job, so that a gateway does not wait for it to start.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from auth.jobs import Job
from core.errors import StoreUnavailable

if TYPE_CHECKING:
    from dbos import DBOSClient

T = TypeVar("T")
NAME = "carillon"
WORKFLOW = "job"
VERSION = "1"
"""Of the workflow in `graphs.durable`: jobs of another version wait for a process that has it."""

UNDER_WAY = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
"""Statuses of what has yet to end (https://docs.dbos.dev/explanations/system-tables)."""


def queue_of(kind: str) -> str:
    """The queue of a kind of jobs: each has its own, so that slow ones keep no others waiting."""
    return f"jobs-{kind}"


class DurableQueue:
    """Jobs on their way to the process that runs them.

    Args:
        database_url: PostgreSQL's, migrated.
        ring: tells the process that runs jobs of a kind to look for them; it does by itself, later.
    """

    def __init__(
        self, database_url: SecretStr, ring: Callable[[str], None] = lambda kind: None
    ) -> None:
        self._url = database_url
        self._ring = ring
        self._client: DBOSClient | None = None
        self._connecting = Lock()

    async def enqueue(self, job: Job) -> None:
        """Have `job` run, now or when a process is there that can. Twice is once; a job that was
        resumed since runs again.

        Raises StoreUnavailable.
        """
        await self._run(
            lambda client: client.enqueue(
                {
                    "workflow_name": WORKFLOW,
                    "queue_name": queue_of(job.kind),
                    "queue_partition_key": job.tenant_id,
                    "workflow_id": job.execution,
                    "app_version": VERSION,
                    "application_name": NAME,
                },
                job.id,
            )
        )
        self._ring(job.kind)

    async def cancel(self, job: Job) -> None:
        """Stop `job`; the piece under way is cancelled too. Raises StoreUnavailable."""
        await self._run(lambda client: client.cancel_workflow(job.execution))

    async def known(self, executions: Collection[str]) -> Mapping[str, bool]:
        """Those of `executions` that were handed over, each with whether it has yet to end.

        Raises StoreUnavailable.
        """
        if not executions:
            return {}
        found = await self._run(
            lambda client: client.list_workflows(
                workflow_ids=list(executions),
                application_name=NAME,
                load_input=False,
                load_output=False,
            )
        )
        return {each.workflow_id: each.status in UNDER_WAY for each in found}

    async def _run(self, work: "Callable[[DBOSClient], T]") -> T:
        return await asyncio.to_thread(self._work, work)

    def _work(self, work: "Callable[[DBOSClient], T]") -> T:
        from dbos import DBOSClient, error  # noqa: PLC0415 - a second that no start has to wait for

        try:
            with self._connecting:
                if self._client is None:
                    self._client = DBOSClient(system_database_url=self._url.get_secret_value())
            return work(self._client)
        except (SQLAlchemyError, error.DBOSException, OSError) as fault:
            raise StoreUnavailable("the job queue does not answer", retry_after_s=1.0) from fault
