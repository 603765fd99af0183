"""Which applications run, learnt from the Serve controller every few seconds.

Place in the path: read by step 4 (a model that is not running is refused at once instead of
being waited for) and by `/health`, `/status` and `/v1/models`. It starts and stops nothing.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

POLL_S = 5.0
logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """One application as the controller sees it."""

    status: str
    message: str
    replicas: int
    """Running replicas, over all its deployments."""
    since: float
    """Unix time of its last deployment."""

    @property
    def serving(self) -> bool:
        return self.replicas > 0


class Readiness:
    """The last known state of every application."""

    def __init__(self) -> None:
        self.applications: dict[str, ApplicationState] = {}
        self.known_at = 0.0

    async def run(self) -> None:
        """Keep up to date, for ever. The controller being away changes nothing known."""
        while True:
            try:
                self.applications = await asyncio.to_thread(_poll)
                self.known_at = time.time()
            except (RayError, RayServeException, TimeoutError) as error:
                logger.warning("the Serve controller does not answer: %s", type(error).__name__)
            await asyncio.sleep(POLL_S)

    def of(self, application: str) -> ApplicationState | None:
        """None for an application that is not deployed, or before the first poll."""
        return self.applications.get(application)


def _poll() -> dict[str, ApplicationState]:
    return {
        name: ApplicationState(
            status=str(application.status.value),
            message=application.message,
            replicas=sum(
                deployment.replica_states.get("RUNNING", 0)
                for deployment in application.deployments.values()
            ),
            since=application.last_deployed_time_s,
        )
        for name, application in serve.status().applications.items()
    }
