"""Child processes: start, wait until they answer, measure, stop exactly what was started.

Every child leads its own process group and writes to a log file of its own.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from core.settings import child_environment

POLL_S = 0.1
STOP_WAIT_S = 20.0
LOG_TAIL_CHARACTERS = 2000


class ChildFailed(Exception):
    """A child ended or did not answer in time; the message has the end of its log."""


class Child:
    """One process and those it starts."""

    def __init__(
        self, command: list[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = command
        self.log = log
        self._environment = child_environment(environment or {})

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """End it: ask, wait, then end by force what is left of its group."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(wait_s)
        finally:
            _kill_group(self.pid)
            self.process.wait()

    def wait_until_answers(self, url: str, timeout_s: float) -> None:
        """Wait for a 200 at `url`. Raises ChildFailed."""
        deadline = time.monotonic() + timeout_s
        while not _answers(url):
            if self.process.poll() is not None:
                raise ChildFailed(f"{self.command[0]} ended:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"no answer at {url} in {timeout_s:.0f} s:\n{self.log_tail()}")
            time.sleep(POLL_S)

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]


def free_port() -> int:
    """A TCP port of the loopback interface that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family(pid: int) -> list[psutil.Process]:
    """The process and all its descendants."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time used so far, user and system."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def pss_bytes(process: psutil.Process) -> int:
    """Memory of one process; pages it shares are divided among those that share them."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
