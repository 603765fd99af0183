"""Settling: how a call ends, in one store round trip, once, whoever is still there to see it.

Place in the path: step 5. Work that was delivered is billed, work that failed is free, and a call
whose caller went away is settled by its replica, which alone knows what the engine produced. While
the store is away, settlements wait; a reservation whose gateway dies is settled by its lease. It
knows no limits and asks for nothing.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from auth.admission import Settlement
from core.errors import CarillonError, ModelUnavailable, StoreUnavailable
from core.model import Ended
from core.work import NO_WORK, WorkUnits
from ingress.call import Call
from ingress.lease import Lease
from ingress.telemetry import Telemetry

CLIENT_CLOSED = 499
"""Status of a request whose caller went away, as nginx logs it."""
LONGEST_MESSAGE = 500
"""Characters of an error that the ledger keeps."""
ORPHAN_GRACE_S = 5.0
"""How long the replica has to report what a cut-short call really used."""
SETTLE_RETRIES_S = (0.2, 0.5, 1.0, 2.0)
LATER_RETRIES_S = 5.0
"""Between tries once these are used up: well within a lease, of a store that is back."""
SETTLE_PATIENCE_S = 3_600.0
"""How long a settlement is tried while the store is away. None come in meanwhile: without the store
nothing is admitted."""


class Settler(Protocol):
    """The store's side. See `auth.valkey`."""

    async def settle(self, settlement: Settlement) -> bool: ...
    async def renew(self, request_id: str, units: WorkUnits) -> None: ...
    async def is_open(self, request_id: str) -> bool: ...


Recall = Callable[[Call], Awaitable[Ended | None]]
"""Asks the replicas what a call took that has just ended. See `ingress.dispatch`."""


class Settling:
    """Ends calls.

    Args:
        renew_s: between renewals of the lease of a call that goes on.
    """

    def __init__(
        self, settler: Settler, recall: Recall, telemetry: Telemetry, renew_s: float
    ) -> None:
        self._settler = settler
        self._recall = recall
        self._telemetry = telemetry
        self._renew_s = renew_s
        self._background: set[asyncio.Task[Any]] = set()

    async def close(self, call: Call, settlement: Settlement) -> None:
        """Settle once, whether or not the caller still waits; keep trying if the store is away.

        The answer is not held back for the store: its lease keeps the reservation meanwhile.
        """
        self._telemetry.finished(call, settlement.status_code, settlement.units)
        await asyncio.shield(self._later(self._at_once(settlement)))

    async def fail(
        self, call: Call, error: CarillonError, units: WorkUnits, ttft_ms: int | None = None
    ) -> None:
        """The end of work that failed: bill what was delivered, free the rest.

        A call under an `Idempotency-Key` is asked for again, and the whole answer is billed then.
        """
        units = call.owed(units)
        settlement = Settlement(
            request_id=call.request_id,
            units=units,
            status_code=error.status_code,
            error_code=error.code,
            error_message=error.message[:LONGEST_MESSAGE],
            response_time_ms=call.elapsed_ms(),
            ttft_ms=ttft_ms,
            exact=units == NO_WORK or not isinstance(error, ModelUnavailable),
        )
        await self.close(call, settlement)

    def abandon(
        self,
        call: Call,
        units: WorkUnits,
        status: int = CLIENT_CLOSED,
        code: str = "client_closed",
        ttft_ms: int | None = None,
    ) -> None:
        """The end of a call that is not known here: its caller went away, mostly.

        The replica, cancelled in turn, settles with the engine's own count. If it had just ended,
        it is asked, after a grace period. If the call never reached one, or it died too, what was
        delivered is settled; at once where it still waited for its turn, when nobody else knows
        of it.
        """
        units = call.owed(units)
        settlement = Settlement(
            request_id=call.request_id,
            units=units,
            status_code=status,
            error_code=code,
            response_time_ms=call.elapsed_ms(),
            ttft_ms=ttft_ms,
            exact=call.waiting or call.whole_or_nothing,
        )
        self._telemetry.finished(call, status, units)
        grace_s = 0.0 if call.waiting else ORPHAN_GRACE_S
        knows = call.waiting or call.ends_here
        asks = status == CLIENT_CLOSED and not knows
        self._later(self._after(settlement, grace_s, call if asks else None))

    def lease(self, call: Call) -> Lease:
        """Keeps the reservation while the call goes on."""

        def renew(units: WorkUnits) -> None:
            self._later(self._renewed(call.request_id, call.owed(units)))

        return Lease(renew, self._renew_s)

    async def _after(self, settlement: Settlement, delay_s: float, asked: Call | None) -> None:
        await asyncio.sleep(delay_s)
        if asked is not None and await self._is_open(settlement.request_id):
            ended = await self._recall(asked)
            if ended is not None:
                settlement = replace(settlement, **ended._asdict(), exact=True)
        await self._stubbornly(settlement)

    async def _is_open(self, request_id: str) -> bool:
        """Whether nobody has settled a call yet, as far as the store can say."""
        try:
            return await self._settler.is_open(request_id)
        except StoreUnavailable:
            return True

    async def _at_once(self, settlement: Settlement) -> None:
        """One try; what the store does not take is tried again when nobody waits any more."""
        if not await self._was_taken(settlement):
            self._later(self._stubbornly(settlement))

    async def _stubbornly(self, settlement: Settlement) -> None:
        give_up_at = time.monotonic() + SETTLE_PATIENCE_S
        pauses_s = itertools.chain(SETTLE_RETRIES_S, itertools.repeat(LATER_RETRIES_S))
        while not await self._was_taken(settlement):
            if time.monotonic() > give_up_at:
                self._telemetry.settlement_lost(settlement.request_id)
                return
            await asyncio.sleep(next(pauses_s))

    async def _was_taken(self, settlement: Settlement) -> bool:
        try:
            await self._settler.settle(settlement)
        except StoreUnavailable:
            return False
        return True

    async def _renewed(self, request_id: str, units: WorkUnits) -> None:
        # The next renewal tries again; three may fail before the lease runs out.
        with suppress(StoreUnavailable):
            await self._settler.renew(request_id, units)

    def _later(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
