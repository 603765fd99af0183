"""Processes this installation started: recognised by evidence, never by name.

Place: under `up`, `down` and the stores. A process is ours when its pid still has the start time
that was recorded, or when its environment carries this run's mark. A recycled pid has neither,
so nothing else on the machine can be hit. This module starts nothing.
"""

import contextlib
from collections.abc import Iterable

import psutil
from pydantic import BaseModel

MARK = "CARILLON_RUN"
"""Environment variable that every process of a run inherits."""
START_TIME_TOLERANCE_S = 2.0
"""Start times are computed from the boot time, which clock adjustments move a little."""


class ProcessRecord(BaseModel):
    """What is written down about a started process."""

    role: str
    pid: int
    started_at: float
    """Seconds since the epoch, as the kernel tells it."""


def record(role: str, pid: int) -> ProcessRecord:
    """Write down the running process `pid`."""
    return ProcessRecord(role=role, pid=pid, started_at=psutil.Process(pid).create_time())


def find(known: ProcessRecord) -> psutil.Process | None:
    """The process that was recorded, if it still runs; None when its pid is another's now."""
    try:
        process = psutil.Process(known.pid)
        same = abs(process.create_time() - known.started_at) < START_TIME_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def marked(run_id: str) -> list[psutil.Process]:
    """Every process whose environment says it belongs to the run `run_id`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.environ().get(MARK) == run_id:
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """Ask the processes to end; kill those that have not after `grace_s` seconds."""
    asked = list(processes)
    for process in asked:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(asked, timeout=grace_s)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=grace_s)
