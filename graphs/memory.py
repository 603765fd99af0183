"""Device memory: how much of what models live in is used, here.

Place: beside each replica, which reports it to the autoscaler (`graphs.scaling`). The device is
the GPU that Ray gave the replica; without one it is the machine's memory. It reserves and frees
nothing.
"""

import os
import time
from importlib import import_module

import psutil

from core.settings import environment

BYTES_PER_MB = 2**20
FRESH_S = 5.0
"""Serve asks twice a second; looking through all processes is not worth that."""

Megabytes = dict[str, float]


class MemoryGauge:
    """`own_mb` of this replica, `used_mb` and `total_mb` of its device."""

    def __init__(self) -> None:
        self._read_at = -FRESH_S
        self._last: Megabytes = {}

    def read(self) -> Megabytes:
        """The latest figures, at most FRESH_S old. Blocks for some milliseconds."""
        if time.monotonic() - self._read_at > FRESH_S:
            device = (environment("CUDA_VISIBLE_DEVICES") or "").partition(",")[0]
            own, used, total = _of_gpu(device) if device else _of_machine()
            figures = {"own_mb": own, "used_mb": used, "total_mb": total}
            self._last = {name: count / BYTES_PER_MB for name, count in figures.items()}
            self._read_at = time.monotonic()
        return self._last


def _of_machine() -> tuple[int, int, int]:
    memory = psutil.virtual_memory()
    own = sum(_share(process) for process in _family())
    return own, memory.total - memory.available, memory.total


def _of_gpu(device: str) -> tuple[int, int, int]:
    """By NVML, which sees the processes that an engine starts; device is an index or a UUID."""
    nvml = import_module("pynvml")  # of the GPU flavour
    nvml.nvmlInit()
    if device.isdigit():
        handle = nvml.nvmlDeviceGetHandleByIndex(int(device))
    else:
        handle = nvml.nvmlDeviceGetHandleByUUID(device)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    family = {process.pid for process in _family()}
    running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    own = sum(process.usedGpuMemory or 0 for process in running if process.pid in family)
    return own, int(memory.used), int(memory.total)


def _family() -> list[psutil.Process]:
    """The process and its children: an engine's own processes are this replica's memory too."""
    process = psutil.Process(os.getpid())
    return [process, *process.children(recursive=True)]


def _share(process: psutil.Process) -> int:
    """Its proportional set size: pages that several processes share count once."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
