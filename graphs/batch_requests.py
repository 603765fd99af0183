"""The requests of batches: lines of a file, checked once, then read a few at a time.

Place in the path: under the job kind of batches. A file may have 100 MiB, and its requests as
objects several times that, so no file stays in memory: only where its lines are. It makes no calls.
"""

import asyncio
from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from auth.files import FileBook
from auth.jobs import Job
from auth.media import OwnedMedia
from core.errors import InvalidRequest, MalformedBody, NotFound
from ingress.media.store import MediaStore

MAX_LINES = 50_000
FILES_KEPT = 32
"""Batches whose lines' places stay in memory, a megabyte each at most."""
PARAM = "input_file_id"
GONE = "the file was deleted, or expired, before all of its requests were made"
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the lines of one file begin and end, in bytes, empty ones left out."""

    blob: str
    starts: "array[int]"
    ends: "array[int]"

    def __len__(self) -> int:
        return len(self.starts)


class BatchRequests:
    """Those of all batches. Methods raise StoreUnavailable, NotFound for a file that is gone."""

    def __init__(self, files: FileBook, media: MediaStore) -> None:
        self._files = files
        self._media = media
        self._places: OrderedDict[str, Places] = OrderedDict()

    async def check(self, job: Job) -> int:
        """How many there are. Raises MalformedBody, InvalidRequest that name the first bad one."""
        blob, content = await self._content(job)
        places = await asyncio.to_thread(_checked, blob, content, job.request["endpoint"])
        self._keep(job, places)
        return len(places)

    async def count(self, job: Job) -> int:
        """How many there are."""
        return len(await self._of(job))

    async def some(self, job: Job, first: int, last: int) -> list[Line]:
        """Those from `first` up to `last`."""
        places = await self._of(job)
        starts, ends = places.starts[first:last], places.ends[first:last]
        media = await self._found(job, places.blob)
        pieces = [piece async for piece in self._media.pieces(media, starts[0], ends[-1])]
        content = b"".join(pieces)
        return [
            orjson.loads(content[start - starts[0] : end - starts[0]])
            for start, end in zip(starts, ends, strict=True)
        ]

    def forget(self, job: Job) -> None:
        """It has ended."""
        self._places.pop(job.id, None)

    async def _of(self, job: Job) -> Places:
        if (kept := self._places.get(job.id)) is not None:
            self._places.move_to_end(job.id)
            return kept
        blob, content = await self._content(job)
        places = await asyncio.to_thread(places_of, blob, content)
        self._keep(job, places)
        return places

    async def _content(self, job: Job) -> tuple[str, bytes]:
        try:
            file = await self._files.find(job.tenant_id, job.request["input_file_id"])
        except NotFound as error:
            raise NotFound(GONE, PARAM) from error
        return file.hash, await self._media.read(await self._found(job, file.hash))

    async def _found(self, job: Job, blob: str) -> OwnedMedia:
        try:
            return await self._media.find(job.tenant_id, blob)
        except NotFound as error:
            raise NotFound(GONE, PARAM) from error

    def _keep(self, job: Job, places: Places) -> None:
        self._places[job.id] = places
        while len(self._places) > FILES_KEPT:
            self._places.popitem(last=False)


def places_of(blob: str, content: bytes) -> Places:
    """Where the lines are that are not empty."""
    places = Places(blob, array("Q"), array("Q"))
    start = 0
    for text in content.splitlines(keepends=True):
        if text.strip():
            places.starts.append(start)
            places.ends.append(start + len(text))
        start += len(text)
    return places


def _checked(blob: str, content: bytes, endpoint: str) -> Places:
    """The places of a file in which every line can be a request."""
    places = places_of(blob, content)
    if not len(places):
        raise MalformedBody("the file has no requests", PARAM)
    if len(places) > MAX_LINES:
        raise InvalidRequest(f"at most {MAX_LINES} requests in a batch", PARAM)
    seen: set[str] = set()
    for number, (start, end) in enumerate(zip(places.starts, places.ends, strict=True), start=1):
        line = _parsed(number, content[start:end])
        if fault := _fault(line, endpoint, seen):
            raise InvalidRequest(f"request {number}: {fault}", PARAM)
        seen.add(line["custom_id"])
    return places


def _parsed(number: int, text: bytes) -> Line:
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"request {number} is not valid JSON: {error}", PARAM) from error
    if not isinstance(line, dict):
        raise MalformedBody(f"request {number} is not an object", PARAM)
    return line


def _fault(line: Line, endpoint: str, seen: set[str]) -> str | None:
    name, body = line.get("custom_id"), line.get("body")
    if not isinstance(name, str) or not name:
        return "'custom_id' must be a text"
    if name in seen:
        return f"'custom_id' {name[:100]!r} is there twice"
    if line.get("method") != "POST":
        return "'method' must be POST"
    if line.get("url") != endpoint:
        return f"'url' must be {endpoint}, as the batch's endpoint"
    if not isinstance(body, dict):
        return "'body' must be an object"
    return "'stream' cannot be true in a batch" if body.get("stream") else None
