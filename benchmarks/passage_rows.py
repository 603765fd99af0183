"""Passage rows: how long a search of 100,000 passages takes, and how much of the best it finds."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone
from benchmarks.gateway_rows import Effort
from benchmarks.passages import Passages

TARGET = Target(Rule.VALUE_AT_MOST, 15.0)
WAYS = {
    "hybrid": ("hybrid", TARGET),
    "vector": ("by vector", TARGET),
    "filtered": ("by vector, a filter that 1 % passes", None),
    "words": ("by words", None),
}
NOTE = "one client; PostgreSQL as embedded, vectors of 384 given; 10 results"


def passages(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """All rows, with the cluster idle beside them."""
    del cluster
    with Passages(scratch) as driver:
        for way, (name, target) in WAYS.items():
            figures = [
                Measured(driver.figure(way, effort.latencies)) for _ in range(effort.repeats)
            ]
            yield alone(f"search of 100,000 passages {name}, p50", "ms", figures, target, note=NOTE)
        recall = Measured(driver.figure("recall", effort.latencies) / 1000)
        yield alone(
            "recall of the ten nearest of 100,000 passages",
            "share",
            [recall],
            note="what the index finds of what comparing all finds",
        )
