"""Patience: what a job does when it is told to come back later.

Place in the path: around the calls of jobs. A full window opens in time and a store comes back, if
the job has that much; a model that stays away is tried a few times. It makes no calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from auth.jobs import Job
from core.errors import CarillonError, LimitReached, StoreUnavailable, Unavailable

T = TypeVar("T")
LONGEST_NAP_S = 30.0
TRIES = 6
"""Of a model that is away, before the durable engine takes over with its own; of a store, where the
job has no time of its own."""


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
            more = self._tries - TRIES
            if more > 0:
                if not isinstance(error, StoreUnavailable) or self._seconds_left() < wait_s:
                    raise error
                wait_s *= 2.0 ** min(more, 5)  # a long outage is looked at less often
        await asyncio.sleep(min(wait_s, LONGEST_NAP_S))

    def _seconds_left(self) -> float:
        if self._job.expires_at is None:
            return 0.0
        return (self._job.expires_at - datetime.now(UTC)).total_seconds()


async def patiently(job: Job, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, tried again as long as that can help. Raises what it does in the end."""
    patience = Patience(job)
    while True:
        try:
            return await work()
        except (LimitReached, Unavailable) as error:
            await patience.after(error)
