"""Which applications run, learnt from the Serve controller every few seconds.

Place in the path: read by step 4 (a model that is not running is refused at once instead of
being waited for) and by `/health`, `/status` and `/v1/models`. It starts and stops nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

POLL_S = 5.0
WAKE_POLL_S = 0.5
"""How often to look while somebody waits for a model to wake."""
logger = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Intake:
    """What the deployment that an application is called through takes."""

    replicas: int
    """Those that run."""
    most_replicas: int
    """Those that there may come to be."""
    per_replica: int
    """`max_ongoing_requests`."""
    queue: int
    """`max_queued_requests`; -1 is no bound."""


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """One application as the controller sees it."""

    status: str
    message: str
    replicas: int
    """Running replicas, over all its deployments."""
    since: float
    """Unix time of its last deployment."""
    intake: Intake | None = None
    """None where it is not known which deployment is called."""

    @property
    def serving(self) -> bool:
        return self.replicas > 0

    @property
    def asleep(self) -> bool:
        """Scaled to zero, or waking from it: a call starts a replica."""
        return self.status == "RUNNING" and not self.serving

    @property
    def callable(self) -> bool:
        """Whether a call arrives: it serves, or a call wakes it."""
        return self.serving or self.asleep


class Readiness:
    """The last known state of every application.

    Args:
        poll_s: between looks when nobody waits. A look costs as much as ten requests.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        self._poll_s = poll_s
        self.applications: dict[str, ApplicationState] = {}
        self.known_at = 0.0
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiting = 0
        self._subscribers: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Keep up to date, for ever. The controller being away changes nothing known."""
        while True:
            try:
                self.applications = await asyncio.to_thread(_poll)
                self.known_at = time.time()
            except (RayError, RayServeException, TimeoutError) as error:
                logger.warning("the Serve controller does not answer: %s", type(error).__name__)
            self._tell()
            await self._pause()

    def of(self, application: str) -> ApplicationState | None:
        """None for an application that is not deployed, or before the first poll."""
        return self.applications.get(application)

    def subscribe(self, hear: Callable[[], None]) -> None:
        """Have `hear` called after each look."""
        self._subscribers.append(hear)

    async def until_serving(self, application: str, timeout_s: float) -> bool:
        """Whether `application` has a running replica before `timeout_s` have passed."""
        return await self._until(lambda state: state.serving, application, timeout_s)

    async def until_callable(self, application: str, timeout_s: float) -> bool:
        """The same, or it sleeps: then a call wakes it."""
        return await self._until(lambda state: state.callable, application, timeout_s)

    async def _until(
        self, holds: Callable[[ApplicationState], bool], application: str, timeout_s: float
    ) -> bool:
        self._waiting += 1
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                while (state := self.of(application)) is None or not holds(state):
                    await self._news.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._hurry.clear()
        return True

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        for hear in self._subscribers:
            hear()

    async def _pause(self) -> None:
        """Until the next look: soon while somebody waits, or when somebody begins to."""
        if self._waiting:
            await asyncio.sleep(WAKE_POLL_S)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._hurry.wait()


def _poll() -> dict[str, ApplicationState]:
    client = _get_global_client(raise_if_no_controller_running=False)
    if client is None:
        return {}
    applications = client.get_serve_details()["applications"]
    return {name: _state(details) for name, details in applications.items()}


def _state(details: dict[str, Any]) -> ApplicationState:
    """Of `ApplicationDetails`, as the controller sends it and `serve.status()` reads it.

    `serve.status()` itself makes every configuration anew, routers pickled: 90 ms of this process's
    CPU a look, in which no request is served, where reading what is asked for costs 2 ms.
    """
    return ApplicationState(
        status=details["status"],
        message=details["message"],
        replicas=sum(_running(deployment) for deployment in details["deployments"].values()),
        since=details["last_deployed_time_s"],
        intake=_intake(details),
    )


def _running(deployment: dict[str, Any]) -> int:
    return sum(replica["state"] == "RUNNING" for replica in deployment["replicas"])


def _intake(details: dict[str, Any]) -> Intake | None:
    called = _called(details)
    if called is None:
        return None
    config = called["deployment_config"]
    scaling = config.get("autoscaling_config") or {}
    return Intake(
        replicas=_running(called),
        most_replicas=scaling.get("max_replicas") or called["target_num_replicas"],
        per_replica=config["max_ongoing_requests"],
        queue=config["max_queued_requests"],
    )


def _called(details: dict[str, Any]) -> dict[str, Any] | None:
    """The deployment that the application's handle calls."""
    deployments: dict[str, dict[str, Any]] = details["deployments"]
    topology = details.get("deployment_topology") or {}
    if topology.get("ingress_deployment"):
        return deployments.get(topology["ingress_deployment"])
    return next(iter(deployments.values())) if len(deployments) == 1 else None
