"""News of jobs: whoever watches one hears at once that its row has changed.

Place in the path: beside `auth.jobs`, for streams that tell of a job until its end. PostgreSQL
tells this process (a trigger on `jobs`, https://www.postgresql.org/docs/current/sql-notify.html).
News say that there is something to read, not what; watchers look now and then as well, so that
news which were lost, with a connection or behind a pooler, only make them late.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg

from auth.database import Database
from core.errors import StoreUnavailable

CHANNEL = "job_changes"
DEAF_S = 1.0
"""Between tries to listen."""
ASK_S = 60.0
"""Between questions whether PostgreSQL is still there."""
LEAST_S = 0.02
"""Between two looks of one watcher, however much happens."""
logger = logging.getLogger("ray.serve")


class Watch:
    """What one watcher waits with. The first wait is over at once: what changed before is news."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._news.set()
        self._over_at = 0.0

    def tell(self) -> None:
        """There is news."""
        self._news.set()

    async def change(self, longest_s: float) -> None:
        """Until there is news, or `longest_s` seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        await asyncio.sleep(self._over_at + LEAST_S - time.monotonic())
        self._news.clear()
        self._over_at = time.monotonic()


class JobNews:
    """For all watchers of this process.

    Args:
        database: of one connection, which is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}

    @contextmanager
    def of(self, job_id: str) -> Iterator[Watch]:
        """Watch a job, inside. That the watcher may read it was asked before."""
        watch = Watch()
        watches = self._watches.setdefault(job_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                self._watches.pop(job_id, None)

    async def run(self) -> None:
        """Listen, for ever."""
        while True:
            try:
                await self._listen()
            except (StoreUnavailable, asyncpg.PostgresError) as error:  # a standby refuses to
                logger.info("no news of jobs: %s", error)
            await asyncio.sleep(DEAF_S)

    async def _listen(self) -> None:
        """Until the connection ends. Raises StoreUnavailable, asyncpg.PostgresError."""
        ended = asyncio.Event()
        async with self._database.connection() as connection:
            connection.add_termination_listener(lambda _: ended.set())
            await connection.add_listener(CHANNEL, self._heard)
            try:
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ASK_S):
                            await ended.wait()
                    await connection.execute("SELECT 1")  # raises when it has gone without a word
            finally:
                with suppress(asyncpg.InterfaceError):  # it has ended
                    connection.terminate()

    def _heard(self, connection: Any, pid: int, channel: str, job_id: object) -> None:
        for watch in self._watches.get(str(job_id), ()):
            watch.tell()
