"""Housekeeping steps back: what a caller waits for goes before what nobody waits for.

Place: the end of `up`'s start. Ray's processes have one session and so share the cores as equals:
controllers, dashboards and the writing of the ledger wake up hundreds of times a second and, on
few cores, each time take a turn that an engine or the gateway would have had. With less weight
they run in the gaps, and beside what never pauses get a tenth of a core (sched(7)), and none of the
one that an engine has for itself (`core.cores`). Raylet and HAProxy keep their priority: replicas
inherit the one's, and requests pass the other. A process that is replaced later has Ray's own
priority. It ends nothing.
"""

import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

from core import cores

NICENESS = 10
HOUSEKEEPERS = (
    "gcs_server",
    "dashboard.py",
    "ray-dashboard-",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "ray::ServeController",
    "ray::ServeReplica:ledger:",
    "ray::ServeReplica:jobs:",
)
"""Beginnings of what they call themselves: of the title, or of the file that runs."""


def step_back(processes: Iterable[psutil.Process]) -> None:
    """Give the housekeepers among `processes` less weight, and cores that no engine has."""
    core = cores.engine_core()
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if keeps_house(process.cmdline()):
                _lower(process)
                if core is not None:
                    cores.keep_off(process.pid, core)


def keeps_house(command: list[str]) -> bool:
    """Whether a command line is a housekeeper's."""
    words = (name for word in command[:2] for name in (word, word.rpartition("/")[2]))
    return any(word.startswith(HOUSEKEEPERS) for word in words)


def _lower(process: psutil.Process) -> None:
    """All its threads: Linux keeps a priority for each, which those it starts inherit."""
    for thread in process.threads():
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread.id, NICENESS)
