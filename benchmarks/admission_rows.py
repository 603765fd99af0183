"""Admission row: how long a gateway waits for a verdict while others are admitted too."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.admissions import Admissions
from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort

PER_SECOND = 500


def admission(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """99th percentile, with the cluster idle beside it."""
    del cluster
    with Admissions(scratch) as driver:
        driver.p99_ms(PER_SECOND)  # it warms up
        figures = [Measured(driver.p99_ms(PER_SECOND)) for _ in range(effort.repeats)]
    yield alone(
        f"admission, p99 at {PER_SECOND} requests/s",
        "ms",
        figures,
        Target(Rule.VALUE_AT_MOST, 5.0),
        note="8 windows of two scopes, money and concurrency among them, from when a request was "
        "due; each is settled too; Valkey as embedded",
    )
