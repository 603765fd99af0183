"""Calls by deployment handle, from a driver process of their own.

    eval "$(carillon env)" && python -m benchmarks.handle_calls

The driver connects to the cluster as a notebook does. For each number that it reads it makes so
many calls, one after the other, and writes their median in milliseconds.
"""

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.cluster import Cluster
from benchmarks.processes import ChildFailed
from benchmarks.shots import FILLER
from cli.environment import variables
from core.chat import ChatRequest
from core.settings import ROOT, child_environment

FASTEST_HANDLES = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
"""As in the cluster; a handle must then be awaited, which this driver does."""
STOP_WAIT_S = 20.0
ANSWER_WAIT_S = 120.0
ANSWER = "p50_ms "


class HandleCalls:
    """The driver process, seen from the benchmark."""

    def __init__(self, cluster: Cluster, scratch: Path) -> None:
        self._environment = child_environment(
            variables(cluster.state) | {"PYTHONPATH": str(ROOT), **FASTEST_HANDLES}
        )
        self._log = scratch / "handle_calls.log"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.handle_calls"],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def p50_ms(self, calls: int) -> float:
        """Median of `calls` calls. Raises ChildFailed when the driver does not answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(ANSWER_WAIT_S, self._process.kill)
        watchdog.start()
        try:
            print(calls, file=self._process.stdin, flush=True)
            for line in self._process.stdout:
                if line.startswith(ANSWER):
                    return float(line.removeprefix(ANSWER))
        finally:
            watchdog.cancel()
        raise ChildFailed(f"the handle driver ended:\n{self._log.read_text()[-2000:]}")


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
        print(f"{ANSWER}{1000 * statistics.median(taken)}", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
