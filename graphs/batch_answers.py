"""The answers of batches: lines put away as they come, and in the end one file of them.

Place in the path: under the job kind of batches, over the media store. What a batch gives may be
far larger than memory: it is joined a piece at a time. It knows nothing of calls.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import orjson

from auth.files import File, FileBook
from auth.jobs import Job
from auth.principal import Principal
from core.errors import NotFound
from graphs.batch_requests import Line
from graphs.patience import patiently
from ingress.media.store import MediaStore

ANSWER_TYPE = "application/jsonl"


@dataclass(frozen=True, slots=True)
class Written:
    """One line of a batch's output, or of its errors."""

    good: bool
    size: int
    data: bytes = b""
    blob: str | None = None
    """Where it is, if it is long."""


class BatchAnswers:
    """Those of all batches."""

    def __init__(self, files: FileBook, media: MediaStore) -> None:
        self._files = files
        self._media = media

    async def put(self, job: Job, principal: Principal, data: bytes) -> str:
        """Put some lines away, as soon as the store lets; the name of the blob.

        Raises StorageFull, StoreUnavailable.
        """
        media = await patiently(job, lambda: self._media.put(principal, data, ANSWER_TYPE))
        return media.hash

    async def keep(self, job: Job, principal: Principal, lines: Sequence[Written]) -> list[str]:
        """Put the lines of a piece away; the names of the blobs that they are in."""
        names = [line.blob for line in lines if line.blob is not None]
        if short := b"".join(line.data for line in lines):
            names.append(await self.put(job, principal, short))
        return names

    async def file(
        self, job: Job, principal: Principal, which: str, names: Sequence[str]
    ) -> File | None:
        """The file of all lines; None without any. Twice is once."""
        if not names:
            return None
        key = f"{job.id}-{which}"
        with suppress(NotFound):  # a process that died may have joined it, and deleted its parts
            return await self._files.find(job.tenant_id, f"file-{key}")
        pieces = self._pieces(job.tenant_id, names)
        media = await self._media.put_pieces(principal, pieces, ANSWER_TYPE)
        name = f"{job.id}_{which}.jsonl"
        return await self._files.add(
            job.tenant_id, name, "batch_output", media.hash, media.bytes, key=key
        )

    async def discard(self, tenant_id: str, names: set[str]) -> None:
        """Forget parts that a file holds now."""
        for name in names:
            with suppress(NotFound):
                await self._media.discard(tenant_id, name)

    async def _pieces(self, tenant_id: str, names: Sequence[str]) -> AsyncGenerator[bytes, None]:
        for name in names:
            media = await self._media.find(tenant_id, name)
            async for piece in self._media.pieces(media, 0, media.bytes):
                yield piece


def written(job: Job, number: int, line: Line, request_id: str, status: int, body: object) -> bytes:
    """A line of the output or of the errors, as OpenAI's Batch API has it."""
    entry = {
        "id": f"batch_req_{job.id.removeprefix('batch_')}_{number}",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": request_id, "body": body},
        "error": None,
    }
    return orjson.dumps(entry) + b"\n"
