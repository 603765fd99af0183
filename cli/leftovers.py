"""Ending a run from outside: an orderly stop, and cleaning up after a run that was killed.

Place: `carillon down`, and the beginning of `up`. What belongs to a run is known from its state
file; see `cli/processes.py` for why nothing else can be hit.
"""

import contextlib
import signal

import psutil

from cli import processes
from cli.run_state import RunFile, RunState
from cli.short_paths import ShortPaths

STOP_S = 90.0
GRACE_S = 5.0


def stop_running(file: RunFile) -> RunState | None:
    """Ask the running `up` to stop and wait for it; the run, or None when there was none."""
    run = file.running()
    process = processes.find(run.up) if run else None
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(STOP_S)
    return run


def sweep(file: RunFile, short: ShortPaths) -> int:
    """End what a dead `up` left behind; the number of processes. Call it with the lock held."""
    run = file.read()
    if run is None:
        return 0
    ray = processes.marked(run.run_id)
    processes.end(ray, GRACE_S)
    late = processes.marked(run.run_id)  # started while the others ended
    processes.end(late, GRACE_S)
    stores = [p for p in map(processes.find, run.stores) if p is not None]
    for store in stores:
        with contextlib.suppress(psutil.NoSuchProcess):
            store.send_signal(signal.SIGINT)  # both servers take it as a fast, orderly stop
    psutil.wait_procs(stores, timeout=4 * GRACE_S)
    processes.end(stores, GRACE_S)
    short.remove()
    file.remove()
    return len(ray) + len(late) + len(stores)
