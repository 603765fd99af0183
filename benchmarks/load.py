"""Closed-loop HTTP/1.1 load over keep-alive connections.

Each connection sends a request, waits for the whole answer, checks it and sends the next. Requests
are ready-made bytes and answers are searched, not parsed, because generator and server share the
same few cores: a generator in a general HTTP client would mostly measure itself. An answer that is
not what was asked for ends the run: a benchmark of errors is worthless.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

DEFAULT_CONNECTIONS = 16
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
EVENT = b"data: {"
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
FIRST_CONTENT = re.compile(rb'"content":\s*"[^"]')
OUTPUT_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
EXCERPT_CHARACTERS = 800
USAGE_TAIL_BYTES = 2_000
"""The usage event is among the last bytes of a stream; only they are searched for it."""


class LoadFailed(Exception):
    """An answer was not what was asked for; the message has its beginning."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One request.

    Args:
        wire: the whole request as sent.
        expect: bytes that the answer's body must contain.
        mark: bytes that the answer's lower-cased head is to contain; see `Tally.marked`.
        streamed: the answer is a stream of events: count them, and time the first content.
    """

    wire: bytes
    expect: bytes
    mark: bytes = b""
    streamed: bool = False


@dataclass(slots=True)
class Tally:
    """What came back. Times in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_contents: list[float] = field(default_factory=list)
    events: int = 0
    tokens: int = 0
    marked: int = 0
    """Answers whose head had the mark that their request named."""

    @property
    def per_second(self) -> float:
        """Requests completed each second."""
        return len(self.latencies) / self.seconds

    @property
    def p50_ms(self) -> float:
        """Median time of a whole answer."""
        return 1000 * statistics.median(self.latencies)

    @property
    def ttft_p50_ms(self) -> float:
        """Median time to the first event with content."""
        return 1000 * statistics.median(self.first_contents)


def fire(
    port: int,
    clients: list[Iterator[Shot]],
    *,
    seconds: float = 3600.0,
    timeout_s: float = 300.0,
) -> Tally:
    """Load 127.0.0.1:`port` with one connection per entry of `clients`.

    A connection stops when its shots run out, or at its first answer after `seconds`. The clock
    stops with the last answer.

    Raises LoadFailed for a wrong answer, a lost connection, or no end within `timeout_s`.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_fire(port, clients, seconds, timeout_s))


async def _fire(
    port: int, clients: list[Iterator[Shot]], seconds: float, timeout_s: float
) -> Tally:
    loop = asyncio.get_running_loop()
    tally = Tally()
    started = time.perf_counter()
    connections = [_Connection(shots, tally, started + seconds) for shots in clients]
    try:
        async with asyncio.timeout(timeout_s):
            for connection in connections:
                await loop.create_connection(lambda c=connection: c, "127.0.0.1", port)  # type: ignore[misc]
            await asyncio.gather(*(connection.ended for connection in connections))
    except TimeoutError as error:
        done = len(tally.latencies)
        raise LoadFailed(f"no end after {timeout_s:.0f} s, {done} answers so far") from error
    finally:
        for connection in connections:
            connection.close()
    tally.seconds = time.perf_counter() - started
    return tally


class _Connection(asyncio.Protocol):
    """One client: sends, collects, checks, repeats."""

    def __init__(self, shots: Iterator[Shot], tally: Tally, ends_at: float) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shots = shots
        self._tally = tally
        self._ends_at = ends_at
        self._answer = bytearray()
        self._body_at = 0
        self._end_at: int | None = None
        self._timed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface but not the base class.
        self._transport = cast("asyncio.Transport", transport)
        self._next(time.perf_counter())

    def close(self) -> None:
        """Close the socket, whatever is under way."""
        if hasattr(self, "_transport"):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._fail("connection lost")

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        answer += data
        if not self._body_at and not self._read_head():
            return
        if not self._timed and FIRST_CONTENT.search(answer, self._body_at):
            self._timed = True
            self._tally.first_contents.append(time.perf_counter() - self._sent)
        if self._end_at is None:
            if answer.endswith(LAST_CHUNK):
                self._complete(joined_chunks(answer, self._body_at))
        elif len(answer) >= self._end_at:
            self._complete(bytes(answer[self._body_at :]))

    def _next(self, now: float) -> None:
        shot = next(self._shots, None) if now < self._ends_at else None
        if shot is None:
            self.ended.set_result(None)
            return
        self._shot = shot
        self._answer.clear()
        self._body_at = 0
        self._timed = not shot.streamed
        self._sent = time.perf_counter()
        self._transport.write(shot.wire)

    def _read_head(self) -> bool:
        """Whether the head is here. Sets where the body begins and, if known, ends."""
        end = self._answer.find(HEAD_END)
        if end < 0:
            return False
        head = bytes(self._answer[:end])
        self._body_at = end + len(HEAD_END)
        length = LENGTH.search(head)
        self._end_at = self._body_at + int(length[1]) if length else None
        if not length and not CHUNKED.search(head):
            self._fail("an answer without length")
        if head[9:10] != b"2":
            self._fail("a wrong status")
        self._tally.marked += self._shot.mark in head.lower()
        if not length:
            # So that the end of an empty chunked body is found like any other.
            self._body_at -= 2
        return True

    def _complete(self, body: bytes) -> None:
        now = time.perf_counter()
        if self.ended.done():
            return
        if self._shot.expect not in body:
            self._fail("a wrong body")
            return
        tally = self._tally
        tally.latencies.append(now - self._sent)
        if self._shot.streamed:
            tally.events += body.count(EVENT)
            if tokens := OUTPUT_TOKENS.search(body, max(0, len(body) - USAGE_TAIL_BYTES)):
                tally.tokens += int(tokens[1])
        self._next(now)

    def _fail(self, what: str) -> None:
        if not self.ended.done():
            seen = bytes(self._answer).decode(errors="replace")
            excerpt = f"{seen[:EXCERPT_CHARACTERS]}\n...\n{seen[-EXCERPT_CHARACTERS:]}"
            self.ended.set_exception(LoadFailed(f"{what}, {len(seen)} characters:\n{excerpt}"))


def joined_chunks(answer: bytes | bytearray, start: int) -> bytes:
    """The body of a chunked answer (RFC 9112, 7.1); `start` is the CRLF before its first chunk."""
    pieces: list[bytes | bytearray] = []
    at = start + 2
    while True:
        line_end = answer.index(b"\r\n", at)
        size = int(answer[at:line_end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(pieces)
        at = line_end + 2
        pieces.append(answer[at : at + size])
        at += size + 2
