"""Events of a video that is being drawn: how far it is, and what it has become.

Place in the path: under the job kind of videos, on what the model streams. It makes no calls.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any

import orjson

from auth.jobs import Job, JobBook
from core.errors import ModelUnavailable, StoreUnavailable
from core.work import NO_WORK, WorkUnits

Event = dict[str, Any]

TOLD_EVERY_S = 0.5
"""Between words on progress in a job's row."""
DRAWN_SHARE = 0.95
"""Progress when all steps are done and the video is yet to be encoded."""


class Progress:
    """What a model says on the way, in the job's row, but not too often."""

    def __init__(self, book: JobBook, job: Job) -> None:
        self._book = book
        self._job = job
        self._next = 0.0
        self.begun = False
        self.units = NO_WORK

    async def hear(self, event: Event) -> None:
        if event["type"] != "video.progress":
            return
        self.begun = True
        self.units = WorkUnits(**event["usage"])
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TOLD_EVERY_S
            done = DRAWN_SHARE * event["step"] / event["steps"]
            with suppress(StoreUnavailable):  # the next word will do
                await self._book.advance(self._job, done, {})


async def events_of(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[Event, None]:
    """The events of a stream, however its bytes are cut; comments are passed over."""
    kept = b""
    async for piece in pieces:
        *whole, kept = (kept + piece).split(b"\n\n")
        for text in whole:
            for event in _events(text):
                yield event


def _events(text: bytes) -> Iterator[Event]:
    for line in text.splitlines():
        if line.startswith(b"data: "):
            yield orjson.loads(line[len(b"data: ") :])


def completed(stream: bytes) -> Event:
    """What a whole stream made. Raises ModelUnavailable when that is nothing."""
    marked = b"event: video.completed"
    for text in stream.split(b"\n\n"):
        if text.startswith(marked):
            return next(_events(text))
    raise ModelUnavailable("the model ended without a video")
