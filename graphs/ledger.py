"""The ledger as a Serve application: one writer that drains usage events into PostgreSQL.

Place in the path: after step 5, and beside it for orphans: calls whose gateway or client went
away are settled here with the engine's own count, told (`graphs.orphans`) or asked for
(`graphs.recall`). It has no HTTP route.
"""

import asyncio
from contextlib import suppress
from typing import Any

from pydantic import Field
from ray import serve
from ray.serve import Application

from auth.admission import Settlement
from auth.database import Database
from auth.directory import Directory
from auth.engine_counters import EngineCount, EngineCounters
from auth.epochs import Epochs
from auth.keys import KeyHasher
from auth.ledger import LedgerWriter
from auth.months import Months
from auth.pipeline import Pipeline
from auth.plans import read_plans
from auth.promises import ValkeyPromises
from auth.reconciliation import Reconciliation
from auth.valkey import ValkeyAdmission
from core.errors import StoreUnavailable
from core.model import Ended, Frozen
from core.settings import ROOT, StoreSettings
from core.work import WorkUnits
from graphs.lag_metrics import LagMetrics
from graphs.nightly import Nightly
from graphs.recall import Recall

CLIENT_CLOSED = 499
RECONCILIATION_S = 600.0
"""Longest statement of the nightly comparison: it sums a day of rows."""


class LedgerArgs(Frozen):
    """`args` of the ledger's application in `serve_config.yaml`."""

    stores: StoreSettings = StoreSettings()
    plans: str = "plans.yaml"
    lease_s: float = Field(60.0, gt=1)
    """The gateway's: how long nobody is swept after an outage of the store."""


class Ledger:
    """The writer, its chores, and the settlement of orphans."""

    def __init__(self, args: LedgerArgs) -> None:
        stores = args.stores
        valkey = Pipeline(stores.redis_url.resolve(), stores.timeout_s)
        database = Database(stores.database_url.resolve(), stores.timeout_s)
        directory = Directory(
            database,
            Epochs(valkey, stores.prefix),
            KeyHasher(stores.pepper.resolve()),
            read_plans(ROOT / args.plans),
        )
        self.admission = ValkeyAdmission(valkey, stores.prefix, args.lease_s)
        self._recall = Recall(self._settle_recalled)
        self.writer = LedgerWriter(
            valkey,
            database,
            stores.prefix,
            chores=(
                self._sweep,
                ValkeyPromises(valkey, stores.prefix).sweep,
                directory.announce,
                Months(database).prepare,
            ),
        )
        loop = asyncio.get_running_loop()
        self._writing = loop.create_task(self.writer.run())
        self._measuring = loop.create_task(LagMetrics(self.writer).run())
        patient = Database(stores.database_url.resolve(), RECONCILIATION_S, connections=1)
        self._counters = EngineCounters(database)
        nightly = Nightly(Reconciliation(patient), self._counters)
        self._comparing = loop.create_task(nightly.run())

    async def settle_orphan(
        self,
        request_id: str,
        units: dict[str, int],
        elapsed_ms: int,
        device_s: float = 0.0,
        ttft_ms: int | None = None,
    ) -> bool:
        """Settle a call that was cut short; False when it was settled already.

        Args:
            units: fields of `WorkUnits`, as the model's replica counted them.
            device_s, ttft_ms: as it measured them.
        """
        return await self.admission.settle(
            Settlement(
                request_id=request_id,
                units=WorkUnits(**units),
                status_code=CLIENT_CLOSED,
                error_code="client_closed",
                response_time_ms=elapsed_ms,
                ttft_ms=ttft_ms,
                device_s=device_s,
            )
        )

    async def _sweep(self) -> None:
        self._recall.begin(await self.admission.sweep())

    async def _settle_recalled(self, request_id: str, ended: Ended) -> None:
        """Whose gateway died had no answer, or not all of it. Valkey away: the guess stays."""
        with suppress(StoreUnavailable):
            await self.admission.settle(
                Settlement(
                    request_id=request_id,
                    status_code=CLIENT_CLOSED,
                    error_code="client_closed",
                    **ended._asdict(),
                )
            )

    async def count_engine(self, replica: str, counts: list[dict[str, Any]]) -> None:
        """Keep what a model's replica says that its engine did; raises when it cannot.

        Args:
            counts: fields of `EngineCount`.
        """
        await self._counters.store(replica, [EngineCount(**count) for count in counts])

    def check_health(self) -> None:
        """Raises when the writer has died, so that Serve replaces this replica."""
        for task in (self._writing, self._measuring, self._comparing):
            if task.done():
                raise RuntimeError("a task of the ledger ended") from task.exception()


def build(args: LedgerArgs) -> Application:
    """The ledger's application. One replica is enough; several do no harm."""
    deployment = serve.deployment(
        name="Ledger",
        num_replicas=1,
        max_ongoing_requests=100,
        max_queued_requests=10_000,
        health_check_period_s=5,
        ray_actor_options={"num_cpus": 0.1},
    )
    application: Application = deployment(Ledger).bind(args)
    return application
