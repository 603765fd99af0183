"""The path of a request, written once.

    1 parse      dialect -> Call                                   (ingress.exchange)
    2 identify   API key -> Principal                              (auth.identify)
    3 admit      one atomic store round trip: epoch, windows, reservation, cache, event
                                                                   (ingress.asking, auth.valkey)
    4 dispatch   the model's replica, when it has room, by handle  (ingress.dispatch)
    5 settle     one atomic store round trip: actual units, refund, cache put, event
                                                                   (ingress.settling)

`answer` serves whole answers, `stream` its sibling for streams; every route that costs something
goes through one of them. An answer is settled before its end is read. A caller that goes away is
settled by the replica, which alone knows what the engine produced.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from auth.admission import (
    Admission,
    Admitted,
    Ask,
    CachedReply,
    Hit,
    InFlight,
    Refused,
    Settlement,
    Stale,
)
from auth.estimates import Estimates
from auth.limits import Limits
from auth.prices import PriceBook
from auth.principal import Principal, Scope
from auth.quota import refusal
from core.errors import (
    CarillonError,
    Forbidden,
    LimitReached,
    ModelForbidden,
    StoreUnavailable,
    Unauthenticated,
    Unavailable,
)
from core.model import EVENT_STREAM, CallContext, Chunk, Ended, Reply
from core.work import NO_WORK, WorkUnits
from ingress.asking import Asking
from ingress.call import Call
from ingress.media.purge import AnswersPurge
from ingress.rate_headers import rate_headers, watch_headers
from ingress.readiness import Readiness
from ingress.rendering import REFUSALS
from ingress.settling import Settler, Settling
from ingress.telemetry import Telemetry
from ingress.trace import forbidden, lacking, refused, traced, unasked, undispatched
from ingress.waiters import Waiters

NO_KEY = "You didn't provide an API key: send it as `Authorization: Bearer <key>`."
STALE_PAUSES_S = (0.0, 0.0, 0.01, 0.05, 0.2)
"""Between readings of a principal whose account is being changed: nobody is refused for that."""
NO_QUEUE = {"x-queue-position": "0", "x-queue-eta-ms": "0"}
"""True of every answer, until its call has to wait for its turn."""


class Identifier(Protocol):
    """Step 2. See `auth.identify`."""

    async def identify(self, key: str) -> Principal: ...
    def forget(self, key: str, stale: Principal) -> None: ...
    async def is_current(self, principal: Principal) -> bool: ...


class Waiter(Admission, Settler, Protocol):
    """Admission that can also be waited on, and forget cached answers. See `auth.valkey`."""

    async def wait(self, ask: Ask, timeout_s: float) -> bool: ...
    async def cache_clear(self, tenant_id: str | None = None) -> int: ...


class Dispatcher(Protocol):
    """Step 4. See `ingress.dispatch`."""

    async def answer(self, call: Call, context: CallContext) -> Reply: ...
    def stream(self, call: Call, context: CallContext) -> AsyncGenerator[Chunk, None]: ...
    async def ended(self, call: Call) -> Ended | None: ...


class Isolator(Protocol):
    """Opaque per-tenant salt for engines' prefix caches. See `auth.isolation`."""

    @property
    def salt(self) -> Callable[[str], str]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer for the wire."""

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer for the wire. Its first piece is already here."""

    pieces: AsyncGenerator[bytes, None]
    media_type: str = EVENT_STREAM


class RequestPath:
    """Steps 2 to 5."""

    def __init__(
        self,
        identifier: Identifier,
        admission: Waiter,
        limits: Limits,
        dispatcher: Dispatcher,
        isolator: Isolator,
        telemetry: Telemetry,
        *,
        prices: PriceBook | None = None,
        estimates: Estimates | None = None,
        readiness: Readiness | None = None,
        renew_s: float = 20.0,
        share_wait_s: float = 30.0,
    ) -> None:
        self._identifier = identifier
        self._admission = admission
        self._dispatcher = dispatcher
        self._isolator = isolator
        self._telemetry = telemetry
        self._prices = prices or PriceBook()
        self._readiness = readiness or Readiness()
        self._share_wait_s = share_wait_s
        self._purge = AnswersPurge(admission.cache_clear)
        self.waiters = Waiters()
        """Who waits for requests of others, whatever for: they share the places of their tenant."""
        self._asking = Asking(limits, self._prices, estimates or Estimates())
        self._settling = Settling(admission, self._ended, telemetry, renew_s)

    async def identify(self, key: str | None, scope: Scope) -> Principal:
        """Step 2 of a call: whom `key` acts for, as remembered; admission compares the epoch.

        Raises Unauthenticated, InvalidKey or Forbidden.
        """
        if key is None:
            raise Unauthenticated(NO_KEY)
        try:
            principal = await self._identifier.identify(key)
        except CarillonError as error:
            traced(error, "identify")
            raise
        if scope not in principal.scopes:  # it may have been given since
            principal = await self.recognise(key)
            _require(principal, scope)
        return principal

    async def recognise(self, key: str | None) -> Principal:
        """Whom `key` acts for at this moment, whatever it may do.

        Raises Unauthenticated, InvalidKey.
        """
        if key is None:
            raise Unauthenticated(NO_KEY)
        try:
            principal = await self._identifier.identify(key)
            if await self._identifier.is_current(principal):
                return principal
            self._identifier.forget(key, principal)
            return await self._identifier.identify(key)
        except CarillonError as error:
            traced(error, "identify")
            raise

    async def authorize(self, key: str | None, scope: Scope) -> Principal:
        """Step 2 of every request that is not admitted: as `identify`, and current at this moment.

        A revoked key must not list or make keys for as long as somebody remembers it.
        """
        principal = await self.recognise(key)
        _require(principal, scope)
        return principal

    async def answer(self, call: Call, key: str | None, principal: Principal) -> Answer:
        """Steps 3 to 5 for a whole answer."""
        ask, verdict = await self._admit(call, key, principal)
        if isinstance(verdict, Hit):
            return Answer(verdict.reply.body, verdict.reply.media_type)
        try:
            with self._settling.lease(call):
                reply = await self._dispatcher.answer(call, self._context(call, ask))
                if call.operation.outdates is not None and call.operation.outdates(reply.body):
                    await self._purge.of_tenant(ask.principal.tenant_id)
                if call.keep is not None:
                    await call.keep(reply)
        except asyncio.CancelledError:
            self._settling.abandon(call, NO_WORK)
            raise
        except Exception as error:
            await self._settle_failed(call, ask, error, NO_WORK)
            raise
        whole = CachedReply(reply.body, reply.media_type, reply.units)
        settlement = self._settlement(call, ask, whole, device_s=reply.device_s)
        # Not only sent: whoever has read the answer may ask again, under the same key, at once.
        await self._settling.close(call, settlement)
        return Answer(reply.body, reply.media_type)

    async def stream(self, call: Call, key: str | None, principal: Principal) -> Stream:
        """Steps 3 to 5 for a stream. Errors before the first piece are raised here."""
        ask, verdict = await self._admit(call, key, principal)
        if isinstance(verdict, Hit):
            return Stream(_replay(verdict.reply.body), verdict.reply.media_type)
        chunks = self._dispatcher.stream(call, self._context(call, ask))
        try:
            with self._settling.lease(call):
                first = await anext(chunks)
        except asyncio.CancelledError:
            self._settling.abandon(call, NO_WORK)
            raise
        except Exception as error:
            await self._settle_failed(call, ask, error, NO_WORK)
            raise
        return Stream(self._relay(call, ask, first, chunks), _stream_type(call))

    async def _relay(
        self, call: Call, ask: Ask, first: Chunk, chunks: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[bytes, None]:
        """Pass bytes on without reading them; settle before the caller sees the last ones."""
        ttft_ms = call.elapsed_ms()
        self._telemetry.first_token(call, ttft_ms)
        kept: list[bytes] = []
        chunk = first
        async with aclosing(chunks):
            try:
                with self._settling.lease(call) as lease:
                    while not chunk.last:
                        kept.append(chunk.data)
                        yield chunk.data
                        lease.units = chunk.units
                        chunk = await anext(chunks)
                    kept.append(chunk.data)
                    whole = CachedReply(b"".join(kept), _stream_type(call), chunk.units)
                    if call.keep is not None:
                        await call.keep(Reply(whole.body, whole.units, whole.media_type))
            except (asyncio.CancelledError, GeneratorExit):
                self._asking.learn(call, ask, chunk.units)
                self._settling.abandon(call, chunk.units, ttft_ms=ttft_ms)
                raise
            except Exception as error:
                await self._settle_failed(call, ask, error, chunk.units, ttft_ms)
                raise
            settlement = self._settlement(call, ask, whole, ttft_ms, chunk.device_s)
            await self._settling.close(call, settlement)
            yield chunk.data

    async def _admit(
        self, call: Call, key: str | None, principal: Principal
    ) -> tuple[Ask, Admitted | Hit]:
        """Step 3. Raises LimitReached, ModelForbidden, InvalidKey or Unavailable."""
        if not principal.allows_model(call.model.card.id) and key is not None:
            principal = await self.recognise(key)  # it may have been allowed since
        for pause_s in STALE_PAUSES_S:
            _require_model(principal, call)
            ask = self._asking.ask(call, principal)
            verdict = await self._ask_until_clear(call, ask)
            if not isinstance(verdict, Stale):
                call.principal, call.expected = principal, ask.units
                return ask, self._accept(call, ask, verdict)
            # The tenant's keys or plan changed since this principal was read: read it again.
            self._telemetry.admitted(call, verdict)
            self._identifier.forget(key or "", principal)
            await asyncio.sleep(pause_s)
            principal = await self.identify(key, Scope.INFERENCE)
        changing = Unavailable("the account is being changed: try again", retry_after_s=1.0)
        raise unasked(changing, call, ask, self._prices)

    async def _ask_until_clear(self, call: Call, ask: Ask) -> Admitted | Hit | Refused | Stale:
        """Ask; while an identical request of this tenant runs, wait for it and ask again."""
        try:
            verdict = await self._admission.admit(ask)
            while isinstance(verdict, InFlight):
                with self.waiters.place(ask.principal.tenant_id):
                    ended = await self._admission.wait(ask, self._share_wait_s)
                ask = ask if ended else _alone(ask)
                verdict = await self._admission.admit(ask)
        except LimitReached as error:
            raise unasked(error, call, ask, self._prices) from None
        except asyncio.CancelledError:
            self._settling.abandon(call, NO_WORK)
            raise
        except StoreUnavailable as error:
            # The ask may have arrived all the same: free what it reserved.
            self._settling.abandon(call, NO_WORK, error.status_code, error.code)
            unasked(error, call, ask, self._prices)
            raise
        return verdict

    def _accept(self, call: Call, ask: Ask, verdict: Admitted | Hit | Refused) -> Admitted | Hit:
        self._telemetry.admitted(call, verdict)
        call.headers |= rate_headers(verdict.windows)
        if isinstance(verdict, Refused):
            raise refused(refusal(verdict), call, ask, verdict, self._prices)
        if isinstance(verdict, Admitted):
            call.headers |= watch_headers(verdict.would_refuse)
        call.headers["x-cache"] = _cache_verdict(call, verdict)
        call.headers |= NO_QUEUE
        return verdict

    def reserved(self, principal: Principal, model_id: str, bound: WorkUnits) -> WorkUnits:
        """What would be reserved for work that takes at most `bound`."""
        return self._asking.reserved(principal, model_id, bound)

    def _context(self, call: Call, ask: Ask) -> CallContext:
        salt = self._isolator.salt(ask.principal.tenant_id)
        return CallContext(
            call.request_id,
            call.model.card.id,
            salt,
            ask.most,
            storage_bytes=self._asking.storage_bytes(call, ask.principal),
            durable=call.durable,
            whole_or_nothing=call.whole_or_nothing,
        )

    def _settlement(
        self,
        call: Call,
        ask: Ask,
        reply: CachedReply,
        ttft_ms: int | None = None,
        device_s: float = 0.0,
    ) -> Settlement:
        """Step 5, for work that was delivered."""
        self._asking.learn(call, ask, reply.units)
        return Settlement(
            request_id=call.request_id,
            units=reply.units,
            response_time_ms=call.elapsed_ms(),
            ttft_ms=ttft_ms,
            device_s=device_s,
            cache=reply if ask.cache_key or ask.once else None,
        )

    async def _settle_failed(
        self,
        call: Call,
        ask: Ask,
        error: Exception,
        units: WorkUnits,
        ttft_ms: int | None = None,
    ) -> None:
        """Step 5, for work that failed; what the caller is told carries its trace."""
        known = error if isinstance(error, CarillonError) else CarillonError("internal error")
        if known.status_code in REFUSALS:
            state = self._readiness.of(call.model.card.application_name)
            undispatched(known, call, ask, self._prices, state)
        await self._settling.fail(call, known, units, ttft_ms)

    async def _ended(self, call: Call) -> Ended | None:
        return await self._dispatcher.ended(call)


def _require(principal: Principal, scope: Scope) -> None:
    try:
        principal.require(scope)
    except Forbidden as error:
        lacking(error, principal, scope)
        raise


def _require_model(principal: Principal, call: Call) -> None:
    try:
        principal.require_model(call.model.card.id)
    except ModelForbidden as error:
        forbidden(error, principal, call)
        raise


def _alone(ask: Ask) -> Ask:
    """The same ask without waiting for identical requests any longer."""
    return replace(ask, share=False)


def _cache_verdict(call: Call, verdict: Admitted | Hit) -> str:
    if isinstance(verdict, Hit):
        return "HIT"
    return "MISS" if call.operation.cacheable and call.cache.read else "BYPASS"


def _stream_type(call: Call) -> str:
    return call.operation.stream_type(call.request)


async def _replay(body: bytes) -> AsyncGenerator[bytes, None]:
    """A stored stream as a stream again: its first event at once, then the rest."""
    end = body.find(b"\n\n") + 2
    yield body[:end]
    if body[end:]:
        yield body[end:]
