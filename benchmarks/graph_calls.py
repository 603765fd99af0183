"""Calls of a graph and of its steps by handle, from a driver process of their own.

    eval "$(carillon env)" && python -m benchmarks.graph_calls

The driver deploys the graph, twice: over `echo`, which takes no time, and over an echo that takes
some. It reads lines `WAY MODEL COUNT`: make so many calls, one after the other, and write their
median in milliseconds. It takes the applications away when its input ends.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.driver import Driver, answer
from benchmarks.handle_calls import FASTEST_HANDLES
from benchmarks.shots import FILLER
from benchmarks.three_steps import STEPS, chat
from cli.environment import variables
from graphs.model_errors import PLAIN

SLOW = "bench-slow-echo"
SLOW_MS = 30.0
"""Of the slow echo's answer: long beside what composing takes, short enough to repeat."""
GRAPHS = {"echo": "bench-three-steps", SLOW: "bench-three-slow-steps"}
SMALL = {"num_cpus": 0.01}
"""What each of their replicas reserves: room is scarce where every model is awake."""


class GraphCalls(Driver):
    """The driver process, seen from the benchmark."""

    def __init__(self, cluster: Cluster, scratch: Path) -> None:
        environment = variables(cluster.state) | FASTEST_HANDLES
        super().__init__(["benchmarks.graph_calls"], environment, scratch / "graph_calls.log")

    def calls_p50_ms(self, way: str, model: str, calls: int) -> float:
        """Median of `calls` calls: `in_turn` or `at_once` of the graph, or `by_hand`."""
        return self.p50_ms(f"{way} {model} {calls}")


async def _serve() -> None:
    import ray
    from ray import serve

    ray.init(logging_level="ERROR", log_to_driver=False)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, _deploy)
    try:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            way, model, count = line.split()
            answer(await _timed(_call(way, model), int(count)))
    finally:
        for name in (*GRAPHS.values(), SLOW):
            await loop.run_in_executor(None, serve.delete, name)


def _deploy() -> None:
    from ray import serve

    from core.imports import load_spec
    from graphs.model import ModelArgs, Replica, deployment_options

    slow = {"model": SLOW, "word_ms": SLOW_MS}
    applications = {SLOW: ModelArgs(spec="deployments.echo:SPEC", engine=slow)}
    for model, name in GRAPHS.items():
        applications[name] = ModelArgs(spec="benchmarks.three_steps:SPEC", engine={"model": model})
    for name, arguments in applications.items():
        options = deployment_options(load_spec(arguments.spec)) | {"ray_actor_options": SMALL}
        application = serve.deployment(name=name, **options)(Replica).bind(arguments)
        serve.run(application, name=name, route_prefix=None)


def _call(way: str, model: str) -> Callable[[], Awaitable[object]]:
    from ray import serve

    text = "once" if model == SLOW else FILLER
    if way == "by_hand":
        handle = serve.get_app_handle(model).options(**PLAIN)

        async def steps() -> None:
            for _ in range(STEPS):
                await handle.answer.remote("chat", chat(text))

        return steps
    graph = serve.get_app_handle(GRAPHS[model]).options(**PLAIN)

    async def whole() -> None:
        await graph.answer.remote(way, {"text": text})

    return whole


async def _timed(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    asyncio.run(_serve())
