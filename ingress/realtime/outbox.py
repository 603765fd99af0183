"""The outbox: server events on their way to a client, in order.

Place in the path: between what happens and the socket. Whoever reads the client's messages never
waits here, or a client that sends and does not read would fill the memory; such a client is cut.
Responses, which can wait, do.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

FULL = 2000
"""Events that may wait to be sent."""
MOST_CHARACTERS = 8 * 2**20
"""Of all of them together: what a client asks to be told again can be long."""
ENOUGH = 16
"""Events that wait when a response waits with its next."""


class SlowReaderError(Exception):
    """The client does not read what it asked for."""


class Outbox:
    """One connection's.

    Args:
        send: writes one message to the socket; returns when there is room for more.
    """

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._characters = 0
        self._sent = asyncio.Event()

    def put(self, kind: str, **fields: Any) -> None:
        """Send an event when those before it have gone. Raises SlowReaderError."""
        if self._waiting.qsize() >= FULL or self._characters >= MOST_CHARACTERS:
            raise SlowReaderError
        event = {"type": kind, "event_id": new_id("event"), **fields}
        text = orjson.dumps(event).decode()
        self._characters += len(text)
        self._waiting.put_nowait(text)

    async def room(self) -> None:
        """Return when few events wait."""
        while self._waiting.qsize() > ENOUGH:
            self._sent.clear()
            await self._sent.wait()

    async def empty(self) -> None:
        """Return when all has been sent."""
        await self._waiting.join()

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            await self._send_next()

    async def flush(self) -> None:
        """Send what waits, where nobody runs it."""
        while not self._waiting.empty():
            await self._send_next()

    async def _send_next(self) -> None:
        text = await self._waiting.get()
        await self._send(text)
        self._characters -= len(text)
        self._waiting.task_done()
        self._sent.set()


def new_id(kind: str) -> str:
    """As `item_0f3c…`."""
    return f"{kind}_{uuid.uuid4().hex[:24]}"
