"""Calls by deployment handle, from a driver process of their own.

    eval "$(carillon env)" && python -m benchmarks.handle_calls

The driver connects to the cluster as a notebook does. For each number that it reads it makes so
many calls, one after the other, and writes their median in milliseconds.
"""

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.driver import Driver, answer
from benchmarks.shots import FILLER
from cli.environment import variables
from core.chat import ChatRequest

FASTEST_HANDLES = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""As in the cluster; a handle must then be awaited, which this driver does."""


class HandleCalls(Driver):
    """The driver process, seen from the benchmark."""

    def __init__(self, cluster: Cluster, scratch: Path) -> None:
        environment = variables(cluster.state) | FASTEST_HANDLES
        super().__init__(["benchmarks.handle_calls"], environment, scratch / "handle_calls.log")

    def calls_p50_ms(self, calls: int) -> float:
        """Median of `calls` calls, one after the other."""
        return self.p50_ms(str(calls))


async def _serve() -> None:
    import ray
    from ray import serve

    ray.init(logging_level="ERROR", log_to_driver=False)
    handle = serve.get_app_handle("echo")
    messages = [{"role": "user", "content": f"handle {FILLER}"}]
    request = ChatRequest.model_validate({"model": "echo", "messages": messages})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        taken = []
        for _ in range(int(line)):
            started = time.perf_counter()
            await handle.answer.remote("chat", request)
            taken.append(time.perf_counter() - started)
        answer(taken)


if __name__ == "__main__":
    asyncio.run(_serve())
