"""Executions of jobs, as the durable engine knows them: which there are, and the end of some.

Place in the path: beside `graphs.durable`, over DBOS's client, for whoever compares executions with
the rows of jobs (`graphs.job_sweeper`, `graphs.job_starter`). It runs none.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import TypeVar

from dbos import DBOSClient, error
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from core.errors import StoreUnavailable

T = TypeVar("T")
NAME = "carillon"
UNDER_WAY = frozenset({"ENQUEUED", "DELAYED", "PENDING"})
"""Statuses of what has yet to end (https://docs.dbos.dev/explanations/system-tables)."""


class Executions:
    """Those of all jobs. Methods raise StoreUnavailable.

    Args:
        database_url: PostgreSQL's, migrated.
    """

    def __init__(self, database_url: SecretStr) -> None:
        self._url = database_url
        self._client: DBOSClient | None = None
        self._connecting = Lock()

    async def known(self, names: Collection[str]) -> Mapping[str, bool]:
        """Those of `names` that were begun, each with whether it has yet to end."""
        if not names:
            return {}
        found = await self._run(
            lambda client: client.list_workflows(
                workflow_ids=list(names),
                application_name=NAME,
                load_input=False,
                load_output=False,
            )
        )
        return {each.workflow_id: each.status in UNDER_WAY for each in found}

    async def cancel(self, name: str) -> None:
        """Stop one; the piece under way is cancelled too."""
        await self._run(lambda client: client.cancel_workflow(name))

    async def resume(self, name: str) -> None:
        """Have one that nothing runs go on, where there is a process that can."""
        await self._run(lambda client: client.resume_workflow(name))

    async def _run(self, work: Callable[[DBOSClient], T]) -> T:
        return await asyncio.to_thread(self._work, work)

    def _work(self, work: Callable[[DBOSClient], T]) -> T:
        try:
            with self._connecting:
                if self._client is None:
                    self._client = DBOSClient(
                        system_database_url=self._url.get_secret_value(),
                        retry_connection_errors=False,
                    )
            return work(self._client)
        except (SQLAlchemyError, error.DBOSException, OSError) as fault:
            raise StoreUnavailable(
                "the durable engine does not answer", retry_after_s=1.0
            ) from fault
