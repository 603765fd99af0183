"""A draft: bytes on their way to becoming a blob, in a file until their name is known.

Place in the path: under `Blobs`, for what is too large for memory. It knows no other blobs.
"""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs what blocks elsewhere."""


class Draft:
    """One that is being written.

    Args:
        path: an empty file of its own.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._run = run

    @property
    def name(self) -> str:
        """Its blob's, of what is written so far."""
        return self._digest.hexdigest()

    async def write(self, piece: bytes) -> None:
        """Add bytes at the end. Raises StoreUnavailable."""
        await self._run(lambda: self._write(piece))

    def _write(self, piece: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)
