"""Patience: what a job does when it is told to come back later.

Place in the path: around the calls of jobs. A full window opens in time, if the job has that much;
a model that stays away is tried a few times. It makes no calls.
"""

import asyncio
from datetime import UTC, datetime

from auth.jobs import Job
from core.errors import CarillonError, LimitReached

LONGEST_NAP_S = 30.0
TRIES = 6
"""Of a model that is away, before the durable engine takes over with its own."""


class Patience:
    """That of one call of `job`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tries = 0

    async def after(self, error: CarillonError) -> None:
        """Wait as long as `error` says; raise it when waiting does not help."""
        wait_s = error.retry_after_s or 1.0
        if isinstance(error, LimitReached):
            if self._seconds_left() < wait_s:
                raise error
        else:
            self._tries += 1
            if self._tries > TRIES:
                raise error
        await asyncio.sleep(min(wait_s, LONGEST_NAP_S))

    def _seconds_left(self) -> float:
        if self._job.expires_at is None:
            return 0.0
        return (self._job.expires_at - datetime.now(UTC)).total_seconds()
