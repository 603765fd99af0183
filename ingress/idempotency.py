"""`Idempotency-Key`: a POST that is sent again is answered again, not done again.

Place in the path: around the handler of every POST that needs credentials. The first request with a
key does the work, detached from its caller: when the caller goes away, the work goes on and its
answer is kept, because the retry will ask for it. A retry gets the same answer, streams included,
with `idempotency-replayed: true`, and is charged nothing. The same key with another body is a 409.
Failures are not kept: a retry tries. A gateway may die after a call was charged and before its
answer is kept: settlement remembers the call's reply with the charge, so the retry gets that.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
from starlette.responses import Response

from auth.idempotency import Claim, Claimed, IdempotencyBook
from auth.principal import Principal
from core.errors import Conflict, InvalidRequest, StoreUnavailable
from ingress.endpoint import Endpoint, Handler
from ingress.exchange import Exchange
from ingress.path import RequestPath, Stream
from ingress.responses import StreamResponse

HEADER = "idempotency-key"
RAW_HEADER = HEADER.encode()
LONGEST_KEY = 255
MAX_KEPT_BYTES = 32 * 2**20
"""Longest answer that is kept; a retry of a longer one learns that it was given."""
KEPT_HEADERS = ("content-type", "content-disposition")
REPLAYED = {"idempotency-replayed": "true"}
FAILURE = 400
FIRST_POLL_S, LONGEST_POLL_S = 0.02, 0.5
RENEWALS_PER_LEASE = 3


class Idempotency:
    """Wraps endpoints.

    Args:
        patience_s: how long a retry waits for the first request to end before it gets a 409.
    """

    def __init__(self, path: RequestPath, book: IdempotencyBook, patience_s: float = 30.0) -> None:
        self._path = path
        self._book = book
        self._patience_s = patience_s
        self._background: set[asyncio.Task[Any]] = set()

    def applied(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint`, honouring the header where it is a POST with credentials."""
        if endpoint.method != "POST" or endpoint.public:
            return endpoint

        async def handler(exchange: Exchange) -> Response:
            key = exchange.header(RAW_HEADER)
            if key is None:
                return await endpoint.handler(exchange)
            return await self._once(endpoint, exchange, key)

        return replace(endpoint, handler=handler)

    async def _once(self, endpoint: Endpoint, exchange: Exchange, key: str) -> Response:
        if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
            raise InvalidRequest(f"'{HEADER}' must be 1 to {LONGEST_KEY} printable characters")
        principal = await self._path.recognise(exchange.key)
        name = _name(principal, key)
        fingerprint = await _fingerprint(exchange)
        claimed = await self._claimed(principal, name, (fingerprint, exchange.request_id))
        if claimed is not None:
            return _replayed(claimed)
        exchange.once = f"{name}:{fingerprint.hex()}"
        exchange.detached = True
        work = _Work(self._book, name, exchange, shown_once=endpoint.shown_once)
        # Apart from the request, also in context: Serve cancels what belongs to a lost request.
        task = asyncio.get_running_loop().create_task(
            work.run(endpoint.handler), context=contextvars.Context()
        )
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(lambda _: exchange.release())
        return await asyncio.shield(task)

    async def _claimed(
        self, principal: Principal, name: str, work: tuple[bytes, str]
    ) -> bytes | None:
        """None when the work is ours; else what was kept of it. Raises Conflict, LimitReached.

        Args:
            work: its fingerprint, and who would do it.
        """
        reply = await self._book.claim(name, *work)
        if reply.claim is Claim.RUNNING:
            with self._path.waiters.place(principal.tenant_id):
                reply = await self._outcome(name, work)
        if reply.claim is Claim.OTHER:
            raise Conflict(f"this '{HEADER}' was used for another request", HEADER)
        return None if reply.claim is Claim.CLAIMED else reply.kept

    async def _outcome(self, name: str, work: tuple[bytes, str]) -> Claimed:
        """What a claim says when nobody else has it any more. Raises Conflict after a while."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + self._patience_s, FIRST_POLL_S
        while loop.time() + pause_s <= deadline:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_POLL_S)
            reply = await self._book.claim(name, *work)
            if reply.claim is not Claim.RUNNING:
                return reply
        raise Conflict(
            f"the first request with this '{HEADER}' is still being answered", HEADER, 1.0
        )


class _Work:
    """One request being answered on behalf of all that carry its key."""

    def __init__(
        self, book: IdempotencyBook, name: str, exchange: Exchange, *, shown_once: bool
    ) -> None:
        self._book = book
        self._name = name
        self._exchange = exchange
        self._owner = exchange.request_id
        self._shown_once = shown_once
        self._renewing = asyncio.get_running_loop().create_task(self._renew())
        self._pumping: asyncio.Task[None] | None = None

    async def run(self, handler: Handler) -> Response:
        """The handler's response; of a stream, one that is kept to its end."""
        try:
            response = await handler(self._exchange)
        except BaseException:
            await self._end(None)
            raise
        if isinstance(response, StreamResponse):
            return response.through(self._kept_stream)
        failed = response.status_code >= FAILURE
        await self._end(None if failed else _kept(response, self._shown_once))
        return response

    def _kept_stream(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        """The same pieces; they are read to their end even if nobody takes them any more."""
        pieces: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self._pumping = asyncio.get_running_loop().create_task(self._pump(stream, pieces))
        return _taken(pieces)

    async def _pump(
        self, stream: Stream, pieces: "asyncio.Queue[bytes | BaseException | None]"
    ) -> None:
        whole: list[bytes] = []
        try:
            async for piece in stream.pieces:
                whole.append(piece)
                pieces.put_nowait(piece)
        except BaseException as error:  # the reader of the queue raises it
            await self._end(None)
            pieces.put_nowait(error)
            if not isinstance(error, Exception):
                raise
            return
        response = Response(b"".join(whole), media_type=stream.media_type)
        await self._end(_kept(response, self._shown_once))
        pieces.put_nowait(None)

    async def _end(self, kept: bytes | None) -> None:
        """Say what became of it. If the store is away, the lease will."""
        self._renewing.cancel()
        with suppress(StoreUnavailable):
            if kept is None:
                await self._book.give_up(self._name, self._owner)
            else:
                await self._book.keep(self._name, self._owner, kept, self._exchange.calls)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._book.lease_s / RENEWALS_PER_LEASE)
            with suppress(StoreUnavailable):
                await self._book.renew(self._name, self._owner)


async def _taken(
    pieces: "asyncio.Queue[bytes | BaseException | None]",
) -> AsyncGenerator[bytes, None]:
    while (piece := await pieces.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _name(principal: Principal, key: str) -> str:
    """Keys of different callers never meet, and callers' texts never become parts of names."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{principal.tenant_id}:{principal.key_id}:{digest}"


async def _fingerprint(exchange: Exchange) -> bytes:
    """What makes two requests the same: method, path, query and body.

    A form's boundary is drawn anew by every client for every try, so it is left out.
    """
    http, body = exchange.http, await exchange.body()
    kind, _, parameters = http.headers.get("content-type", "").partition(";")
    _, _, boundary = parameters.partition("boundary=")
    if boundary:
        body = body.replace(boundary.strip().strip('"').encode(), b"")
    parts = (http.method, http.url.path, http.url.query, kind.strip().lower())
    digest = hashlib.sha256("\0".join(parts).encode())
    digest.update(body)
    return digest.digest()


def _kept(response: Response, shown_once: bool) -> bytes:  # noqa: FBT001  # private, two callers
    """An answer as it is stored: a line of JSON, and the body."""
    body = bytes(response.body)
    gone = "shown_once" if shown_once else "too_long" if len(body) > MAX_KEPT_BYTES else None
    headers = {n: v for n in KEPT_HEADERS if (v := response.headers.get(n)) is not None}
    head = {"status": response.status_code, "headers": headers, "gone": gone}
    return orjson.dumps(head) + b"\n" + (b"" if gone else body)


def _replayed(kept: bytes) -> Response:
    """The answer once more. Raises Conflict for one that is not kept."""
    line, _, body = kept.partition(b"\n")
    head = orjson.loads(line)
    if head["gone"] == "shown_once":
        raise Conflict(f"this was done for the same '{HEADER}', and its answer is shown once")
    if head["gone"]:
        raise Conflict(f"this was done for the same '{HEADER}'; the answer is too long to keep")
    return Response(body, head["status"], headers=head["headers"] | REPLAYED)
