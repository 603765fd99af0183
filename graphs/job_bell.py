"""The gateway's bell: tells the process that runs jobs that one was handed over.

Place in the path: beside `graphs.job_queue`, which says when. Jobs are safe in their queue, and
looked for now and then; a bell that nobody hears costs its caller that wait and nothing else.
"""

import asyncio
import logging
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

JOBS_APPLICATION = "jobs"
PATIENCE_S = 5.0
"""With a process that is being replaced: it looks when it begins."""
logger = logging.getLogger("ray.serve")


class JobBell:
    """Rings in the background."""

    def __init__(self) -> None:
        self._jobs: DeploymentHandle[Any] | None = None
        self._ringing: set[asyncio.Task[None]] = set()

    def ring(self, kind: str) -> None:
        """Have jobs of a kind looked for now; returns at once."""
        task = asyncio.get_running_loop().create_task(self._ring(kind))
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    async def _ring(self, kind: str) -> None:
        if not ray.is_initialized():
            return  # Serve's local testing mode: asking for the handle would start a cluster
        try:
            if self._jobs is None:
                # Blocks for a round trip to the controller: once is enough.
                self._jobs = serve.get_app_handle(JOBS_APPLICATION)
            async with asyncio.timeout(PATIENCE_S):
                await self._jobs.look.remote(kind)
        except (RayError, RayServeException, TimeoutError) as error:
            self._jobs = None
            logger.info("jobs will be found later: %s", type(error).__name__)
