"""Core rows: the engine on a core of its own, against the kernel's choice.

On one cluster, in turns: as it was deployed, and with all its processes free to run on every core.
Only where cores are so few that an engine has one (`core.cores`).
"""

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.chat_rows import CLOSE, CLOSE_ROUNDS, one_turn
from benchmarks.cluster import CHAT_MODEL, Cluster
from benchmarks.compare import Measured, Row, compared, take_turns
from benchmarks.gateway_rows import Effort
from benchmarks.shots import questions
from core.cores import engine_core


def cores(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Tokens each second, as deployed and with every process free."""
    if engine_core() is None:
        return
    unique = questions()

    def as_deployed() -> Measured:
        asked = [list(itertools.islice(unique, CLOSE_ROUNDS)) for _ in range(CLOSE)]
        return one_turn(cluster, asked)[0]

    def free() -> Measured:
        with _free(cluster):
            return as_deployed()

    turns = take_turns(effort.in_brief_turns.repeats, as_deployed, free, thrown_away=1)
    yield compared(
        f"chat, {CLOSE} clients, the engine on a core of its own",
        "tokens/s",
        turns,
        peer_name="the same cluster, its processes free to run on any core",
        note=f"{CHAT_MODEL}, as in the rows of chat",
    )


@contextmanager
def _free(cluster: Cluster) -> Iterator[None]:
    """Let every thread run on every core for a while."""
    held = _allowed(cluster)
    _allow(dict.fromkeys(held, os.sched_getaffinity(0)))
    try:
        yield
    finally:
        _allow(held)


def _allowed(cluster: Cluster) -> Mapping[int, set[int]]:
    """The cores of each thread."""
    found = {}
    for process in cluster.family():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in process.threads():
                found[thread.id] = os.sched_getaffinity(thread.id)
    return found


def _allow(cores: Mapping[int, set[int]]) -> None:
    for thread, allowed in cores.items():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(thread, allowed)
