"""Cluster rows: how long until it answers, and how much memory it takes. They have no peer."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort
from benchmarks.processes import pss_bytes
from benchmarks.wake_rows import wake_up

GB = 1_000_000_000


def first_token(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """From the start of `carillon up` to the first token; nothing if somebody else started it."""
    del effort, scratch
    if cluster.first_token_s is not None:
        yield alone(
            "first token after `carillon up`",
            "s",
            [Measured(cluster.first_token_s)],
            Target(Rule.VALUE_AT_MOST, 90),
            note="installed environment, new state directory (databases are created)",
        )


def memory(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Proportional set size of every process of the cluster, before anything that sleeps woke."""
    del effort, scratch
    note = "PSS of all its processes, after the load of the rows above"
    yield _memory("memory of the default cluster", cluster, 8, note)


def memory_awake(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """The same when every model is awake."""
    del effort, scratch
    wake_up(cluster)
    note = "PSS of all its processes, after a call of each model"
    yield _memory("memory with every model awake", cluster, 16, note)


def _memory(name: str, cluster: Cluster, most_gb: float, note: str) -> Row:
    total = sum(map(pss_bytes, cluster.family()))
    target = Target(Rule.VALUE_AT_MOST, most_gb)
    return alone(name, "GB", [Measured(total / GB)], target, note=note)
