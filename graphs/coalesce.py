"""Coalescing: many small pieces of a stream travel as few messages.

Place in the path: step 4, inside the model replica. Every item a replica yields is one message
on each hop, and messages, not bytes, are what a stream costs. The first piece goes at once, so
time to first token does not change; later ones wait up to an interval and travel together. A
source that is slower than the interval has nothing to gain from waiting: its pieces go at once.
It never reorders, drops or parses.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from math import inf

from core.model import Chunk


async def coalesce(
    source: AsyncGenerator[Chunk, None], interval_s: float
) -> AsyncGenerator[Chunk, None]:
    """Join the chunks of `source` that arrive within `interval_s` of each other's message.

    The final message has `last=True` (its data may be empty). An error of the source is raised
    after what preceded it was yielded. Closing this generator closes the source.
    """
    async with aclosing(_Buffer(source)) as buffer:
        while not buffer.ended:
            chunk = await buffer.take()
            yield chunk
            if not buffer.ended and buffer.gap_s < interval_s:
                await buffer.pause(interval_s)


class _Buffer:
    """What has arrived from the source and has not left yet."""

    def __init__(self, source: AsyncGenerator[Chunk, None]) -> None:
        self._pieces: list[bytes] = []
        self._units = Chunk(b"").units
        self._arrived = asyncio.Event()
        self._source = source
        self._clock = asyncio.get_running_loop().time
        self._arrived_at = inf  # so that what follows the first piece counts as following closely
        self.gap_s = 0.0
        """Time between the last two pieces."""
        self._pump = asyncio.ensure_future(self._fill(source))
        self._pump.add_done_callback(lambda _: self._arrived.set())
        self.ended = False

    async def take(self) -> Chunk:
        """Everything that has arrived, at least one piece, as one chunk."""
        await self._arrived.wait()
        self._arrived.clear()
        if self._pump.done() and (error := self._failure()) is not None and not self._pieces:
            self.ended = True
            raise error
        self.ended = self._pump.done() and self._failure() is None
        if self._pump.done():
            self._arrived.set()
        data = b"".join(self._pieces)
        self._pieces.clear()
        return Chunk(data, self._units, last=self.ended)

    async def pause(self, interval_s: float) -> None:
        """Let pieces gather for `interval_s`, less if the source ends before."""
        await asyncio.wait((self._pump,), timeout=interval_s)

    async def aclose(self) -> None:
        """Stop reading and close the source, so that the engine aborts its work."""
        self._pump.cancel()
        await asyncio.wait((self._pump,))
        await self._source.aclose()

    async def _fill(self, source: AsyncIterator[Chunk]) -> None:
        async for chunk in source:
            self._pieces.append(chunk.data)
            self._units = chunk.units
            now = self._clock()
            self.gap_s, self._arrived_at = now - self._arrived_at, now
            self._arrived.set()

    def _failure(self) -> BaseException | None:
        return None if self._pump.cancelled() else self._pump.exception()
