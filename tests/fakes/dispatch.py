"""Stand-ins for steps 2 and 4, so that the request path can be tested alone."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from auth.admission import Verdict
from auth.principal import Principal, Scope
from core.errors import InvalidKey
from core.model import CallContext, Chunk, Ended, Reply
from core.work import WorkUnits
from ingress.call import Call
from tests.fakes.admission import EPOCH

KEY = "ck-test"


def principal(**changes) -> Principal:
    fields = {
        "tenant_id": "t",
        "key_id": "k",
        "plan": "small",
        "epoch": EPOCH,
        "scopes": frozenset({Scope.INFERENCE}),
    }
    return Principal(**(fields | changes))


class OneKeyIdentifier:
    """Knows one key. `reload` is what it says after `forget`."""

    def __init__(self, known: Principal) -> None:
        self.known: Principal | None = known
        self.reload: Principal | None = known
        self.forgotten = 0
        self.current_epoch: str | None = None

    async def identify(self, key: str) -> Principal:
        if key != KEY or self.known is None:
            raise InvalidKey("the API key is not valid")
        return self.known

    async def is_current(self, principal: Principal) -> bool:
        return self.current_epoch is None or principal.epoch == self.current_epoch

    def forget(self, key: str, stale: Principal) -> None:
        self.forgotten += 1
        self.known = self.reload


class NothingUnheard:
    """For dispatchers whose callers hear the end of every call."""

    async def ended(self, call: Call) -> Ended | None:
        return None


class ScriptedDispatcher:
    """Answers with what a test says, and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls: list[CallContext] = []
        self.reply = Reply(b'{"ok":true}', WorkUnits(input_tokens=3, output_tokens=4))
        self.chunks = [
            Chunk(b"data: 1\n\n", WorkUnits(input_tokens=3, output_tokens=1)),
            Chunk(b"data: 2\n\n", WorkUnits(input_tokens=3, output_tokens=2)),
            Chunk(b"data: [DONE]\n\n", WorkUnits(input_tokens=3, output_tokens=2), last=True),
        ]
        self.error: Exception | None = None
        self.error_after = 0
        self.gate: asyncio.Event | None = None
        self.closed = False
        self.known: Ended | None = None
        """What a replica says of a call that ended unheard."""

    async def answer(self, call: Call, context: CallContext) -> Reply:
        self.calls.append(context)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.reply

    async def stream(self, call: Call, context: CallContext) -> AsyncGenerator[Chunk, None]:
        self.calls.append(context)
        try:
            if self.gate is not None:
                await self.gate.wait()
            for count, chunk in enumerate(self.chunks):
                if self.error is not None and count == self.error_after:
                    raise self.error
                yield chunk
        finally:
            self.closed = True

    async def ended(self, call: Call) -> Ended | None:
        return self.known


class Salts:
    salt: Callable[[str], str] = staticmethod(lambda tenant_id: f"salt-of-{tenant_id}")


class SilentTelemetry:
    """Remembers the statuses that it was told."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.lost: list[str] = []

    def admitted(self, call: Call, verdict: Verdict) -> None: ...

    def first_token(self, call: Call, ttft_ms: int) -> None: ...

    def finished(self, call: Call, status: int, units: WorkUnits) -> None:
        self.statuses.append(status)

    def settlement_lost(self, request_id: str) -> None:
        self.lost.append(request_id)
