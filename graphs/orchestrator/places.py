"""Places: how many large requests of steps are in memory at once, in all runs of this process.

Place in the path: around a step's call, from before its values are read until it has been answered.
A tenant has half of the places, so that nobody keeps the others out. Small requests need none. It
reads nothing.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TOTAL = 8
"""Times `core.references.LARGEST`, and what is made of each on its way to its model."""
SHARE = 4


class Places:
    """Those of one process."""

    def __init__(self, total: int = TOTAL, share: int = SHARE) -> None:
        self._total = total
        self._share = share
        self._held: Counter[str] = Counter()
        self._change = asyncio.Condition()

    @asynccontextmanager
    async def one(self, tenant_id: str, *, needed: bool) -> AsyncIterator[None]:
        """Wait for a place, where one is `needed`, and hold it."""
        if not needed:
            yield
            return
        async with self._change:
            await self._change.wait_for(lambda: self._has_one(tenant_id))
            self._held[tenant_id] += 1
        try:
            yield
        finally:
            self._held[tenant_id] -= 1
            async with self._change:
                self._change.notify_all()

    def _has_one(self, tenant_id: str) -> bool:
        return self._held[tenant_id] < self._share and self._held.total() < self._total
