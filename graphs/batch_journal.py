"""The journal of the piece that is under way of a batch: what must not be lost with its process.

Place in the path: under the job kind of batches, in the job's row. Long answers are noted before
they are charged; what is counted is counted from where the piece began, so that a piece that is
done again counts once. It makes no calls.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from auth.jobs import Job, JobBook

Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A line's answer that was put away before its call was settled."""

    blob: str
    bytes: int
    request_id: str
    units: dict[str, int]
    """What the call took."""


class PieceJournal:
    """That of one piece of one batch.

    Args:
        job: as it was read when the piece was begun.
    """

    def __init__(self, job: Job, book: JobBook, index: int) -> None:
        self._job = job
        self._book = book
        self._writing = asyncio.Lock()
        known = job.result.get("piece") or {}
        if known.get("index") != index:
            known = {
                "index": index,
                "counts": job.result["counts"],
                "bytes": job.result.get("bytes", 0),
                "kept": {},
                "away": {},
            }
        self._known: dict[str, Any] = known

    @property
    def bytes_before(self) -> int:
        """Of the answers that earlier pieces gave."""
        return int(self._known["bytes"])

    def kept(self, number: int) -> Kept | None:
        """The answer of a line that was put away, by this process or one that died."""
        found = self._known["kept"].get(str(number))
        return None if found is None else Kept(**found)

    async def keep(self, number: int, kept: Kept) -> None:
        """Note a line's answer. Raises StoreUnavailable."""
        self._known["kept"][str(number)] = asdict(kept)
        await self._write({})

    async def was_away(self, number: int) -> int:
        """Note that a line's model stayed away; how often it did. Raises StoreUnavailable."""
        away: Counts = self._known["away"]
        away[str(number)] = away.get(str(number), 0) + 1
        await self._write({})
        return away[str(number)]

    async def done(self, completed: int, failed: int, size: int) -> None:
        """All lines are answered: count them, and the bytes of their answers."""
        before: Counts = self._known["counts"]
        counts = counts_of(
            before["total"], before["completed"] + completed, before["failed"] + failed
        )
        await self._write({"counts": counts, "bytes": self.bytes_before + size})

    async def _write(self, more: dict[str, Any]) -> None:
        async with self._writing:  # the last one written knows all that the others knew
            counts: Counts = more.get("counts") or self._known["counts"]
            share = (counts["completed"] + counts["failed"]) / max(counts["total"], 1)
            await self._book.advance(self._job, share, {"piece": self._known} | more)


def counts_of(total: int, completed: int, failed: int) -> Counts:
    """As OpenAI's batch object has them."""
    return {"total": total, "completed": completed, "failed": failed}
