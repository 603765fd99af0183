"""Driver processes: they work when they are told to, and say how long it took.

Place in the path: beside the load generator, for whatever is compared with the cluster and is no
server. It does not know what the work is. A driver reads lines; for each it does the work that the
line asks for and writes one figure, the median in milliseconds.
"""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.processes import ChildFailed
from core.settings import ROOT, child_environment

STOP_WAIT_S = 20.0
ANSWER_WAIT_S = 180.0
ANSWER = "p50_ms "
LOG_TAIL_CHARACTERS = 2000


class Driver:
    """A driver process, seen from the benchmark.

    Args:
        command: a module with its arguments, as after `python -m`.
        log: file for what it writes to its standard error.
        wait_s: longest wait for a figure, the driver's own preparations included.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        log: Path,
        wait_s: float = ANSWER_WAIT_S,
    ) -> None:
        self._command = [sys.executable, "-m", *command]
        self._environment = child_environment({"PYTHONPATH": str(ROOT)} | dict(environment))
        self._log = log
        self._wait_s = wait_s

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # As a replica has: Linux shares cores among sessions first.
                start_new_session=True,
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

    def p50_ms(self, line: str) -> float:
        """The figure for one line. Raises ChildFailed when the driver does not answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(self._wait_s, self._process.kill)
        watchdog.start()
        try:
            print(line, file=self._process.stdin, flush=True)
            for answer in self._process.stdout:
                if answer.startswith(ANSWER):
                    return float(answer.removeprefix(ANSWER))
        except BrokenPipeError:
            pass  # it has ended; its log says why
        finally:
            watchdog.cancel()
        tail = self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        raise ChildFailed(f"{' '.join(self._command)} ended:\n{tail}")


def answer(seconds: list[float]) -> None:
    """The driver's own side: tell the median."""
    print(f"{ANSWER}{1000 * statistics.median(seconds)}", flush=True)


def timed(work: Callable[[Any], Any], inputs: Iterable[Any]) -> list[float]:
    """Seconds that `work` takes for each of `inputs`, one after the other."""
    taken = []
    for each in inputs:
        started = time.perf_counter()
        work(each)
        taken.append(time.perf_counter() - started)
    return taken
