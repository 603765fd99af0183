"""A core for an engine: where cores are few, what goes with it keeps off the one it works on.

Place: under `deployments.llm`, which has an engine that never pauses, and `cli.housekeeping`. On
two cores a process that wakes up is put on either; each time it is the engine's, the engine waits
and finds its caches cold, though the other core had room. Where cores are many, the kernel finds an
idle one by itself, and nothing is held to any. It takes no core from models beside the engine: they
may use all.
"""

import os
from contextlib import suppress
from pathlib import Path

FEW = 4
"""With more cores than that, one of them is idle whenever somebody wakes up."""


def engine_core() -> int | None:
    """The core that an engine has: the last of this process's, if they are few but not one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1] if 1 < len(cores) <= FEW else None


def hold(process_id: int, core: int) -> None:
    """Let all threads of a process run on `core` alone. Those they start inherit that."""
    _allow(process_id, {core})


def keep_off(process_id: int, core: int) -> None:
    """Let all threads of a process run on every core they may but `core`, if there is another."""
    with suppress(ProcessLookupError):
        if others := os.sched_getaffinity(process_id) - {core}:
            _allow(process_id, others)


def _allow(process_id: int, cores: set[int]) -> None:
    """Linux keeps the cores of each thread; see sched_setaffinity(2)."""
    with suppress(FileNotFoundError):  # the process has ended
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setaffinity(int(thread.name), cores)
