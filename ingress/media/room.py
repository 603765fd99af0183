"""Room for uploads: how many bytes of bodies may be in memory at once.

Place in the path: around the reading of an upload. It counts what may come, not what came, so
memory is bounded before the first byte is read.
"""

from collections import Counter

from core.errors import LimitReached

RETRY_S = 1.0
LARGEST_AT_ONCE = 4
"""Uploads of the largest size that may be in memory together; a tenant has half of it."""


class UploadRoom:
    """Bytes that uploads may hold on this gateway.

    Args:
        total: for everybody together.
        share: for one tenant; less than `total`, so that nobody keeps the others out.
    """

    def __init__(self, total: int, share: int) -> None:
        self._total = total
        self._share = share
        self._held: Counter[str] = Counter()

    @classmethod
    def of_largest(cls, size: int) -> "UploadRoom":
        """Room for a few uploads of `size` bytes at once, or many smaller ones."""
        return cls(LARGEST_AT_ONCE * size, LARGEST_AT_ONCE // 2 * size)

    def take(self, tenant_id: str, size: int) -> None:
        """Take room for `size` bytes. Raises LimitReached when there is none."""
        if self._held[tenant_id] + size > self._share or self._held.total() + size > self._total:
            raise LimitReached("too many uploads at once", retry_after_s=RETRY_S)
        self._held[tenant_id] += size

    def give(self, tenant_id: str, size: int) -> None:
        """Give back what was taken."""
        self._held[tenant_id] -= size
        if not self._held[tenant_id]:
            del self._held[tenant_id]
