"""Retries of webhooks: those whose time has come wait for a place again.

Place in the path: beside it, one task in the jobs application; several do no harm. It sends
nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from auth.webhook_tries import WebhookTries
from core.errors import CarillonError

PAUSE_S = 5.0
logger = logging.getLogger("ray.serve")


class WebhookRetries:
    """Runs for ever.

    Args:
        pause_s: between two looks.
    """

    def __init__(
        self,
        tries: WebhookTries,
        pause_s: float = PAUSE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tries = tries
        self._pause_s = pause_s
        self._now = now

    async def run(self) -> None:
        """Look, pause, again. What it cannot reach waits for the next time."""
        while True:
            try:
                await self.sweep()
            except CarillonError as error:
                logger.warning("webhooks are not tried again: %s", error)
            await asyncio.sleep(self._pause_s)

    async def sweep(self) -> int:
        """One look; how many will be sent again. Raises StoreUnavailable."""
        return len(await self._tries.due(self._now()))
