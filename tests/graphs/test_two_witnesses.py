"""Gateway, store, ledger and a model's replica together: both counts agree, until a row is lost."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from auth.admission import Settlement
from auth.database import Database
from auth.engine_counters import EngineCount, EngineCounters
from auth.ledger import LedgerWriter
from auth.limits import Limits
from auth.pipeline import Pipeline
from auth.plans import Plan
from auth.reconciliation import Drift, Reconciliation
from auth.valkey import ValkeyAdmission
from core.model import CallContext, Chunk, Ended, ModelCard, Reply
from graphs.engine_counts import EngineCounts
from graphs.model import ModelArgs, Replica
from graphs.orphans import Orphan
from ingress.call import Call
from ingress.catalog import Catalog
from ingress.path import RequestPath
from tests.auth.servers import Valkey
from tests.fakes.admission import EPOCH
from tests.fakes.dispatch import KEY, OneKeyIdentifier, Salts, SilentTelemetry, principal


class Direct:
    """Step 4 without Serve: the replica in this process."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica

    async def answer(self, call: Call, context: CallContext) -> Reply:
        return await self.replica.answer(call.operation_name, call.request, context)

    def stream(self, call: Call, context: CallContext) -> AsyncGenerator[Chunk, None]:
        return self.replica.stream(call.operation_name, call.request, context)

    async def ended(self, call: Call) -> Ended | None:
        return self.replica.ended([call.request_id]).get(call.request_id)


class Installation:
    """Everything from the gateway's path to PostgreSQL."""

    def __init__(self, valkey: Pipeline, database: Database) -> None:
        prefix = f"test-{secrets.token_hex(4)}"
        self.epoch_key = f"{prefix}:epoch:"
        self.who = principal(tenant_id=f"t-{secrets.token_hex(4)}")
        self.model = f"m-{secrets.token_hex(4)}"
        self.admission = ValkeyAdmission(valkey, prefix)
        self.writer = LedgerWriter(valkey, database, prefix)
        self.counters, self.database = EngineCounters(database), database
        self.replica = Replica(ModelArgs(spec="deployments.echo:SPEC", coalesce_ms=0))
        self.words = self.replica.model.chat_stream
        self.replica.model.chat_stream = self.slowly
        self.replica.counts = EngineCounts(self.count_engine, gather_s=0.01)
        self.settling: list[asyncio.Task[bool]] = []
        self.replica.orphans.report = self.settle_orphan  # type: ignore[method-assign]
        self.catalog = Catalog([ModelCard(id=self.model, spec="deployments.echo:SPEC")])
        self.path = RequestPath(
            OneKeyIdentifier(self.who),
            self.admission,
            Limits({"small": Plan("small", ())}),
            Direct(self.replica),
            Salts(),
            SilentTelemetry(),
        )

    async def slowly(self, request: object, call: CallContext) -> AsyncGenerator[Chunk, None]:
        """Words one by one, so that a caller can go between two of them."""
        async for chunk in self.words(request, call):
            call.done = chunk.units
            yield chunk
            await asyncio.sleep(0.005)

    async def count_engine(self, replica: str, counts: list[dict]) -> None:
        await self.counters.store(replica, [EngineCount(**count) for count in counts])

    def settle_orphan(self, request_id: str, orphan: Orphan) -> None:
        settlement = Settlement(request_id, orphan.units, 499, ttft_ms=orphan.ttft_ms)
        self.settling.append(asyncio.ensure_future(self.admission.settle(settlement)))

    def call(self, text: str, *, stream: bool) -> Call:
        served = self.catalog.named(self.model)
        operation = served.operation("chat")
        fields = {"messages": [{"role": "user", "content": text}], "stream": stream}
        return Call(
            request_id=secrets.token_hex(8),
            trace_id="trace",
            endpoint="/v1/chat/completions",
            model=served,
            operation_name="chat",
            operation=operation,
            request=operation.request.model_validate(fields),
            streamed=stream,
        )

    async def whole(self, text: str) -> None:
        await self.path.answer(self.call(text, stream=False), KEY, self.who)

    async def streamed(self, text: str, pieces: int | None = None) -> None:
        """All of a stream, or its first pieces: then the caller goes."""
        stream = await self.path.stream(self.call(text, stream=True), KEY, self.who)
        seen = 0
        async for _ in stream.pieces:
            seen += 1
            if seen == pieces:
                break
        await stream.pieces.aclose()

    async def drift(self) -> dict[str, Drift]:
        """After everything has been written and reported."""
        await asyncio.gather(*self.settling)
        while await self.writer.drain():
            pass
        if self.replica.counts._telling is not None:
            await self.replica.counts._telling
        found = await Reconciliation(self.database).of(datetime.now(UTC).date())
        return {drift.unit: drift for drift in found if drift.model == self.model}


@pytest.fixture
async def installation(valkey_server: Valkey, database_url: str) -> AsyncIterator[Installation]:
    valkey, database = Pipeline(SecretStr(valkey_server.url)), Database(SecretStr(database_url))
    installation = Installation(valkey, database)
    await valkey.call("SET", installation.epoch_key + installation.who.tenant_id, EPOCH)
    yield installation
    await valkey.aclose()
    await database.aclose()


async def test_whole_streamed_cached_and_aborted_answers_agree_to_the_token(
    installation: Installation,
):
    for number in range(4):
        await installation.whole(f"one two three {number}")
        await installation.streamed(f"four five {number}")
        await installation.streamed(f"six seven eight nine ten {number}", pieces=2)
    await installation.whole("one two three 0")  # from the cache
    await installation.streamed("four five 0")
    drift = await installation.drift()
    assert set(drift) == {"input_tokens", "output_tokens"}
    assert all(d.difference == 0 and d.engine > 0 for d in drift.values())
    assert drift["output_tokens"].estimated == 0
    cut = await installation.database.fetch(
        "SELECT output_tokens FROM usage_records WHERE tenant_id = $1 AND status_code = 499",
        installation.who.tenant_id,
    )
    assert [0 < row["output_tokens"] < 6 for row in cut] == [True] * 4


async def test_one_row_that_is_lost_on_the_way_is_seen(installation: Installation):
    for number in range(10):
        await installation.whole(f"one two three {number}")
    await installation.writer.drain()
    await installation.database.execute(
        "DELETE FROM usage_records WHERE request_id IN"
        " (SELECT request_id FROM usage_records WHERE tenant_id = $1 LIMIT 1)",
        installation.who.tenant_id,
    )
    drift = await installation.drift()
    assert drift["output_tokens"].ratio == pytest.approx(-0.1)
    assert drift["output_tokens"].difference == -4


async def test_streams_have_a_time_to_first_token_and_every_row_says_what_the_cache_did(
    installation: Installation,
):
    await installation.whole("one")
    await installation.whole("one")
    await installation.streamed("two three four")
    await installation.streamed("five six seven", pieces=1)
    await installation.drift()
    rows = await installation.database.fetch(
        "SELECT streamed, cache, ttft_ms, status_code FROM usage_records"
        " WHERE tenant_id = $1 ORDER BY streamed, cache DESC, admitted_at",
        installation.who.tenant_id,
    )
    assert [(r["streamed"], r["cache"], r["ttft_ms"] is None) for r in rows] == [
        (False, "miss", True),
        (False, "hit", True),
        (True, "miss", False),
        (True, "miss", False),
    ]
    assert rows[-1]["status_code"] == 499
