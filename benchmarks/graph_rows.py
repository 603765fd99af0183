"""Graph rows: what composing costs, and whether branches run at the same time.

The peer is the same steps by hand: three calls of the same deployment by handle from one process,
one after the other. The graph is one call by handle, which makes the three.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, compared, take_turns
from benchmarks.gateway_rows import Effort
from benchmarks.graph_calls import SLOW, SLOW_MS, GraphCalls
from benchmarks.three_steps import STEPS

SLOW_SHARE = 10
"""Slow calls are fewer by this factor: each takes as long as thirty quick ones."""


def graph(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Three steps in a graph, one after the other and at the same time."""
    brief = effort.in_brief_turns
    quick, slow = effort.latencies // 2, max(5, effort.latencies // SLOW_SHARE)
    with GraphCalls(cluster, scratch) as calls:

        def measured(way: str, model: str, count: int) -> Measured:
            return Measured(calls.calls_p50_ms(way, model, count))

        yield compared(
            "graph of three steps, p50",
            "ms",
            take_turns(
                brief.repeats,
                lambda: measured("in_turn", "echo", quick),
                lambda: measured("by_hand", "echo", quick),
                thrown_away=1,
            ),
            Target(Rule.DIFFERENCE_AT_MOST, 3.0),
            peer_name="its steps by handle, one after the other",
            note="echoes; one client",
        )
        yield compared(
            "graph of three branches, p50",
            "ms",
            take_turns(
                effort.repeats,
                lambda: measured("at_once", SLOW, slow),
                lambda: measured("by_hand", SLOW, slow),
                thrown_away=1,
            ),
            Target(Rule.RATIO_AT_MOST, 1.5 / STEPS),
            peer_name="its steps by handle, one after the other",
            note=f"each step takes {SLOW_MS:.0f} ms; one client",
        )
