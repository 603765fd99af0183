"""Live files: `plans.yaml` and `prices.yaml`, read again when they change.

Place in the path: beside it, one task in each process that admits requests. A file is looked at,
not read, every few seconds; when it has changed and has not been touched since the last look, it is
read, checked as at start, and holds from the next request on. What cannot hold is not taken: the
former content stays, the log says why, and so do `/health` and `/status`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from auth.plans import Plan, read_plans
from auth.prices import PriceBook, read_prices
from core.errors import SettingsError, StoreUnavailable

LOOK_S = 2.0
log = logging.getLogger("ray.serve")

Stamp = tuple[int, int, int]
Take = Callable[[], Awaitable[None]]
"""Reads a file, checks it, and has its content hold. Raises SettingsError, StoreUnavailable."""
InUse = Callable[[], Awaitable[set[str]]]
"""Names of the plans that tenants and keys have."""


class LiveFile:
    """One file.

    Args:
        path: what was read at start.
        take: takes a changed content over.
    """

    def __init__(self, path: Path, take: Take) -> None:
        self.path = path
        self.error: str | None = None
        """Why the file on the disk is not what holds; None when it is."""
        self.read_at = time.time()
        self._take = take
        self._known = self._seen = _stamp(path)

    @property
    def is_current(self) -> bool:
        """Whether what holds is what the file says."""
        return self.error is None

    async def look(self) -> None:
        """Take the file over when it has changed, and rests. Never raises."""
        stamp = await asyncio.to_thread(_stamp, self.path)
        rests, self._seen = stamp == self._seen, stamp
        if stamp == self._known or not rests:
            return
        try:
            await self._take()
        except StoreUnavailable:
            return  # it cannot be checked now: at the next look
        except SettingsError as error:
            self.error = error.message
            log.error("%s has changed and is not taken over: %s", self.path.name, error.message)
        else:
            self.error, self.read_at = None, time.time()
            log.info("%s has changed and holds now", self.path.name)
        self._known = stamp


class LiveFiles:
    """All of a process.

    Args:
        look_s: between looks.
    """

    def __init__(self, files: Sequence[LiveFile], look_s: float = LOOK_S) -> None:
        self.files = tuple(files)
        self._look_s = look_s

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await asyncio.sleep(self._look_s)
            for file in self.files:
                await file.look()


def live_plans(path: Path, plans: dict[str, Plan], in_use: InUse) -> LiveFile:
    """Plans whose content is replaced in place: everybody holds the same dictionary."""

    async def take() -> None:
        fresh = await asyncio.to_thread(read_plans, path)
        missing = await in_use() - fresh.keys()
        if missing:
            names = ", ".join(sorted(missing))
            raise SettingsError(f"plans that tenants or keys have are not in it: {names}")
        plans.clear()
        plans.update(fresh)

    return LiveFile(path, take)


def live_prices(path: Path, book: PriceBook) -> LiveFile:
    """Prices whose book is changed in place.

    Rows and receipts name the version that they were priced by, so other prices need another.
    """

    async def take() -> None:
        fresh = await asyncio.to_thread(read_prices, path)
        if fresh != book and fresh.version == book.version:
            raise SettingsError(f"the prices are others, and the version is still '{book.version}'")
        book.adopt(fresh)

    return LiveFile(path, take)


def _stamp(path: Path) -> Stamp | None:
    """What changes with the file: also where a link to it is turned to another."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
