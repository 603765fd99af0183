"""Orphans: calls whose gateway or client went away before the answer was delivered.

Place in the path: step 4, inside the model replica. Only the replica knows what its engine
really produced for a call that was cut short, so it tells the ledger application, which settles
the reservation with that exact count. If the ledger is away too, the reservation's lease expires
and is settled with what the gateway knew last. It does not know tenants or prices.
"""

import asyncio
import logging
from dataclasses import asdict, dataclass
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from core.work import WorkUnits

LEDGER_APPLICATION = "ledger"
ATTEMPTS = 5
FIRST_DELAY_S = 0.2

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Orphan:
    """What became of a call that was cut short."""

    units: WorkUnits
    elapsed_ms: int
    device_s: float = 0.0
    ttft_ms: int | None = None


class OrphanReporter:
    """Sends the final count of a call to the ledger, in the background, with retries."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[None]] = set()
        self._ledger: DeploymentHandle[Any] | None = None

    def report(self, request_id: str, orphan: Orphan) -> None:
        """Start telling the ledger; returns at once."""
        task = asyncio.get_running_loop().create_task(self._send(request_id, asdict(orphan)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, request_id: str, orphan: dict[str, Any]) -> None:
        if not ray.is_initialized():
            return  # Serve's local testing mode: asking for the handle would start a cluster
        delay_s = FIRST_DELAY_S
        for _ in range(ATTEMPTS):
            try:
                if self._ledger is None:
                    # Blocks for a round trip to the controller: once is enough.
                    self._ledger = serve.get_app_handle(LEDGER_APPLICATION)
                await self._ledger.settle_orphan.remote(request_id, **orphan)
            except (RayError, RayServeException) as error:
                self._ledger = None
                logger.warning("orphan %s not settled yet: %s", request_id, type(error).__name__)
                await asyncio.sleep(delay_s)
                delay_s *= 2
            else:
                return
        logger.error("orphan %s left to its lease", request_id)
