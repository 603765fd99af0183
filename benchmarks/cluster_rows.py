"""Cluster rows: how long until it answers, and how much memory it takes. They have no peer."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort
from benchmarks.processes import pss_bytes

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
    """Proportional set size of every process of the cluster."""
    del effort, scratch
    total = sum(map(pss_bytes, cluster.family()))
    yield alone(
        "memory of the default cluster",
        "GB",
        [Measured(total / GB)],
        Target(Rule.VALUE_AT_MOST, 8),
        note="PSS of all its processes, after the load of the rows above",
    )
