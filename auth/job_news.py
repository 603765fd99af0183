"""News of jobs: whoever watches one hears at once that its row has changed.

Place in the path: beside `auth.jobs`, for streams that tell of a job until its end. PostgreSQL
tells this process (a trigger on `jobs`). News say that there is something to read, not what;
watchers look now and then as well, so that news which were lost only make them late.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from auth.database import Database
from auth.listening import Listener

CHANNEL = "job_changes"
LEAST_S = 0.02
"""Between two looks of one watcher, however much happens."""


class Watch:
    """What one watcher waits with. The first wait is over at once: what changed before is news.

    Args:
        least_s: between two looks.
    """

    def __init__(self, least_s: float = LEAST_S) -> None:
        self._least_s = least_s
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
        await asyncio.sleep(self._over_at + self._least_s - time.monotonic())
        self._news.clear()
        self._over_at = time.monotonic()


class JobNews:
    """For all watchers of this process.

    Args:
        database: of one connection, which is kept.
    """

    def __init__(self, database: Database) -> None:
        self._listener = Listener(database, CHANNEL, self._heard)
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
        await self._listener.run()

    def _heard(self, job_id: str) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.tell()
