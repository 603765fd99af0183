"""Waiters: requests that wait for another one like them, which costs them nothing.

Place in the path: around step 3 of an identical request in flight, and around a retry under an
`Idempotency-Key` whose first request still runs. Neither is charged to any window while it waits,
but each takes one of the gateway's places. So a tenant has only some of those. It counts those of
this process, and does not wait itself.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import LimitReached

MOST = 100
"""Of one tenant at once: a tenth of a gateway's places."""
RETRY_S = 1.0


class Waiters:
    """How many of each tenant wait.

    Args:
        most: of one tenant.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def place(self, tenant_id: str) -> Iterator[None]:
        """A place for as long as the block lasts. Raises LimitReached when the tenant has all."""
        if self._waiting[tenant_id] >= self._most:
            raise LimitReached(
                f"{self._most} requests wait for others like them already: retry later",
                retry_after_s=RETRY_S,
            )
        self._waiting[tenant_id] += 1
        try:
            yield
        finally:
            self._waiting[tenant_id] -= 1
            if not self._waiting[tenant_id]:
                del self._waiting[tenant_id]
