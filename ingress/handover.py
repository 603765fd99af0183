"""The hand-over of jobs by the gateway: the row is the promise, the queue may hear of it later.

Place in the path: before it, between routes that ask for jobs and the durable engine's queue. When
the queue does not answer, the caller is told what the row says all the same: a 503 would have it
ask for the same work twice. The jobs application finds such rows (`graphs.job_sweeper`).
"""

import logging

from auth.jobs import Job
from core.errors import StoreUnavailable
from ingress.job_kind import JobQueue

logger = logging.getLogger("ray.serve")


class Handover:
    """`JobQueue` for callers whose job is in its row already."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def enqueue(self, job: Job) -> None:
        """Have it run, within a minute if the queue is away now. Twice is once."""
        try:
            await self._queue.enqueue(job)
        except StoreUnavailable as error:
            logger.warning("job %s waits for the sweeper: %s", job.id, error)

    async def cancel(self, job: Job) -> None:
        """Stop it where it is, within a minute if the queue is away now."""
        try:
            await self._queue.cancel(job)
        except StoreUnavailable as error:
            logger.warning("job %s is stopped by the sweeper: %s", job.id, error)
