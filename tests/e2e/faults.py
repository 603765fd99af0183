"""The fault points: every step of a request's path, and every process that can be killed there.

A step is not hit by luck. The process that answers next is stopped (SIGSTOP), so that requests
stand exactly at that step; then the victim is killed (SIGKILL) and the other one goes on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from tests.e2e.calls import Caller, begun
from tests.e2e.cluster import Cluster, freeze, thaw
from tests.e2e.people import Person
from tests.e2e.store import Store

ARRIVE_S = 0.4
"""After it, a request that was sent stands where the next process is silent. Stores may be silent
for two seconds before they count as away."""


class Victim(StrEnum):
    """What is killed: all processes of that kind."""

    GATEWAY = "gateway"
    MODEL = "model"
    LEDGER = "ledger"
    VALKEY = "valkey"
    POSTGRES = "postgres"
    JOBS = "jobs"

    @property
    def is_store(self) -> bool:
        return self in (Victim.VALKEY, Victim.POSTGRES)


class Step(StrEnum):
    """Where requests stand at that moment, as `ingress/path.py` numbers the path."""

    IDENTIFY = "identify"
    """The key was never seen: gateways wait for PostgreSQL."""
    ADMIT = "admit"
    """The reservation is on its way: gateways wait for Valkey."""
    STREAM = "stream"
    """Dispatched: every stream has given some of its events."""
    SETTLE = "settle"
    """The model has ended: gateways wait for Valkey."""
    DRAIN = "drain"
    """All is settled; its events wait in Valkey, and the ledger for PostgreSQL."""


ON_THE_PATH = [victim for victim in Victim if victim is not Victim.JOBS]
POINTS = [(step, victim) for step in Step for victim in ON_THE_PATH]


@dataclass
class Scene:
    """What a fault happens to."""

    cluster: Cluster
    person: Person
    store: Store
    callers: list[Caller]

    def kill(self, victim: Victim) -> None:
        self.cluster.kill_processes(victim)


@asynccontextmanager
async def silent(cluster: Cluster, role: str) -> AsyncGenerator[None]:
    """The processes of `role` are stopped inside the block."""
    pids = cluster.processes(role)
    freeze(pids)
    try:
        yield
    finally:
        thaw(pids)


async def at_identify(scene: Scene, victim: Victim) -> None:
    async with silent(scene.cluster, Victim.POSTGRES):
        begun(scene.callers)
        await asyncio.sleep(ARRIVE_S)
        scene.kill(victim)


async def at_admit(scene: Scene, victim: Victim) -> None:
    await scene.person.warm()
    async with silent(scene.cluster, Victim.VALKEY):
        begun(scene.callers)
        await asyncio.sleep(ARRIVE_S)
        scene.kill(victim)


async def at_stream(scene: Scene, victim: Victim) -> None:
    streams = begun([caller for caller in scene.callers if caller.streamed])
    await _until(lambda: all(caller.pieces >= 5 for caller in streams))
    assert await scene.store.reservations(scene.person.tenant_id) == len(streams)
    scene.kill(victim)


async def at_settle(scene: Scene, victim: Victim) -> None:
    streams = begun([caller for caller in scene.callers if caller.streamed])
    await _until(lambda: all(caller.pieces >= caller.words - 15 for caller in streams))
    async with silent(scene.cluster, Victim.VALKEY):
        await asyncio.sleep(15 * scene.cluster.word_s + ARRIVE_S)
        scene.kill(victim)


async def at_drain(scene: Scene, victim: Victim) -> None:
    await scene.person.warm()
    async with silent(scene.cluster, Victim.POSTGRES):
        begun(scene.callers)
        await asyncio.gather(*(caller.ended() for caller in scene.callers))
        assert await scene.store.waiting() >= len(scene.callers)
        scene.kill(victim)


BRING_ABOUT: dict[Step, Callable[[Scene, Victim], Awaitable[None]]] = {
    Step.IDENTIFY: at_identify,
    Step.ADMIT: at_admit,
    Step.STREAM: at_stream,
    Step.SETTLE: at_settle,
    Step.DRAIN: at_drain,
}


async def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the state that a fault waits for never came"
        await asyncio.sleep(0.01)
