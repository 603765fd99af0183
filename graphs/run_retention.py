"""Retention of runs: those that ended long ago are deleted.

Place in the path: beside it, one task in the jobs application, as `ingress.media.sweeper` is for
media; several do no harm. An outage of PostgreSQL delays it and loses nothing.
"""

import asyncio
import logging

from auth.old_runs import OldRuns
from core.errors import CarillonError

PAUSE_S = 600.0
logger = logging.getLogger("ray.serve")


class RunRetention:
    """Runs for ever.

    Args:
        pause_s: after a look that found nothing to delete.
    """

    def __init__(self, old: OldRuns, pause_s: float = PAUSE_S) -> None:
        self._old = old
        self._pause_s = pause_s

    async def run(self) -> None:
        """Delete, pause, again."""
        while True:
            pause_s = 1.0 if await self.sweep() else self._pause_s
            await asyncio.sleep(pause_s)

    async def sweep(self) -> int:
        """One look; how many were deleted, 0 when PostgreSQL is away."""
        try:
            return await self._old.delete()
        except CarillonError as error:
            logger.warning("old runs are not deleted: %s", error)
            return 0
