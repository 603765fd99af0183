"""One Valkey connection shared by every caller of a process.

Place in the path: under steps 3 and 5. This module speaks RESP2 and does not know what the
commands mean.

Why not redis-py's asyncio client: it checks a connection out per call and costs several times
the server's own work in Python. Here concurrent calls share one socket: commands issued in one
turn of the event loop leave in one write, replies resolve in order, and one timer watches the
oldest call instead of one timer per call. Figures: `python -m tests.auth.bench_admission`.
"""

import asyncio
import logging
import ssl
from collections import deque
from typing import Any, cast

import hiredis
from pydantic import SecretStr
from redis.asyncio.connection import SSLConnection, parse_url

from core.errors import StoreUnavailable

log = logging.getLogger(__name__)

Argument = str | bytes | int | float
Reply = Any
"""What RESP2 gives: bytes, int, None, a list of these, or hiredis.ReplyError."""


def _packed(arguments: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # stub: a 1-tuple
    return packed


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable("the store does not answer", retry_after_s=1.0)


class _Wire(asyncio.Protocol):
    """The socket: batches writes, pairs replies with the calls in order."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._outgoing: list[bytes] = []
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # the callers only need to know that there is no answer
        self.close()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                _, future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            log.exception("the store broke the protocol")
            self.close()

    def send(self, packed: bytes) -> asyncio.Future[Reply]:
        """Queue one packed command; its reply arrives in the future."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._timeout_s, future))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._check_oldest)
        return future

    def close(self) -> None:
        """Drop the connection; every waiting call fails now instead of hanging."""
        self.is_open = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(_unavailable())

    def _flush(self) -> None:
        packed, self._outgoing = self._outgoing, []
        if self._transport is not None and self.is_open:
            self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def _check_oldest(self) -> None:
        """The oldest call answers first, so its deadline stands for all."""
        self._watch = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] - self._loop.time()
        if left_s <= 0:
            log.warning("the store did not answer in %s s", self._timeout_s)
            self.close()
        else:
            self._watch = self._loop.call_later(left_s, self._check_oldest)


class Pipeline:
    """A reconnecting, pipelined connection to one Valkey (or Redis) server.

    Connects at the first call and again whenever the connection was lost. Belongs to the event
    loop that first used it.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with credentials and database if needed.
        timeout_s: longest wait for a connection, and for a reply.
    """

    def __init__(self, url: SecretStr, timeout_s: float = 2.0) -> None:
        self._target = parse_url(url.get_secret_value())
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None

    async def call(self, *arguments: Argument) -> Reply:
        """One command, one reply. Raises StoreUnavailable also when the reply is an error."""
        reply = await self.send(*arguments)
        if isinstance(reply, hiredis.ReplyError):
            log.error("the store refused %s: %s", arguments[0], reply)
            raise _unavailable()
        return reply

    async def send(self, *arguments: Argument) -> Reply:
        """One command, one reply, which may be a ReplyError.

        Raises StoreUnavailable; never waits longer than the timeout.
        """
        wire = self._wire
        if wire is None or not wire.is_open:
            wire = await self._connected()
        return await wire.send(_packed(arguments))

    async def aclose(self) -> None:
        """Close the socket. A later call would open a new one."""
        if self._wire is not None:
            self._wire.close()

    async def _connected(self) -> _Wire:
        """One connection attempt at a time, shared by all who wait for it."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._forget_attempt)
        return await asyncio.shield(self._connecting)

    def _forget_attempt(self, attempt: asyncio.Task[_Wire]) -> None:
        self._connecting = None
        if not attempt.cancelled():
            attempt.exception()  # retrieved, so that asyncio does not log it once more

    async def _connect(self) -> _Wire:
        try:
            async with asyncio.timeout(self._timeout_s):
                self._wire = wire = await self._open()
                await self._greet(wire)
                return wire
        except (OSError, TimeoutError) as error:
            raise _unavailable() from error

    async def _open(self) -> _Wire:
        loop, target = asyncio.get_running_loop(), self._target
        if "path" in target:
            _, wire = await loop.create_unix_connection(self._new_wire, target["path"])
            return wire
        secure = target.get("connection_class") is SSLConnection
        _, wire = await loop.create_connection(
            self._new_wire,
            target.get("host", "localhost"),
            target.get("port", 6379),
            ssl=ssl.create_default_context() if secure else None,
        )
        return wire

    def _new_wire(self) -> _Wire:
        return _Wire(self._timeout_s)

    async def _greet(self, wire: _Wire) -> None:
        """AUTH and SELECT, when the URL asks for them."""
        password = self._target.get("password")
        if password is not None:
            username = self._target.get("username")
            login = (username, password) if username else (password,)
            await self._expect_ok(wire, "AUTH", *login)
        if self._target.get("db"):
            await self._expect_ok(wire, "SELECT", self._target["db"])

    async def _expect_ok(self, wire: _Wire, *arguments: Argument) -> None:
        reply = await wire.send(_packed(arguments))
        if isinstance(reply, hiredis.ReplyError):
            wire.close()
            log.error("the store refused %s", arguments[0])  # the reply may quote credentials
            raise _unavailable()
