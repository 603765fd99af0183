"""The sweeper: deletes media that have expired and blobs that nobody owns.

Place in the path: beside it, one task in one application; several do no harm. An outage of a store
delays it and loses nothing.
"""

import asyncio
import logging

from core.errors import CarillonError
from ingress.media.store import MediaStore

PAUSE_S = 60.0
logger = logging.getLogger("ray.serve")


class MediaSweeper:
    """Runs for ever.

    Args:
        pause_s: after a sweep that found nothing to delete.
    """

    def __init__(self, store: MediaStore, pause_s: float = PAUSE_S) -> None:
        self._store = store
        self._pause_s = pause_s

    async def run(self) -> None:
        """Sweep, pause, again. What it cannot reach waits for the next time."""
        while True:
            pause_s = 0 if await self.sweep() else self._pause_s
            await asyncio.sleep(pause_s)

    async def sweep(self) -> int:
        """One sweep; how much it deleted, 0 when a store is away."""
        try:
            return await self._store.sweep()
        except CarillonError as error:
            logger.warning("media are not swept: %s", error)
            return 0
