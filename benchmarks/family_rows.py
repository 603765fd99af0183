"""Family rows: how much batches gain and what serving costs, measured alike for every family.

Place in the path: under the rows of each family, which know its requests. It knows none of them.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.bare import Bare
from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, compared, take_turns
from benchmarks.gateway_rows import Effort
from benchmarks.load import DEFAULT_CONNECTIONS, Shot, fire
from benchmarks.shots import NO_STORE, post
from benchmarks.wake_rows import wake_up

OVERHEAD = Target(Rule.RATIO_AT_MOST, 1.05)
"""Of work that takes 200 ms or more."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request, ready for the wire, and as the bare library takes it."""

    shot: Shot
    request: dict[str, Any]


def work(key: str, path: str, request: dict[str, Any], expect: bytes) -> Work:
    """A request in JSON; nothing that is cached may answer it."""
    return Work(Shot(post(key, path, orjson.dumps(request), NO_STORE), expect), request)


def batched(
    cluster: Cluster,
    effort: Effort,
    family: str,
    unit: str,
    works: Callable[[], Iterator[Work]],
    *,
    model: str,
    note: str,
) -> Row:
    """Answers each second, from many clients and from one.

    Args:
        works: makes the requests of one client, each for one thing.
        unit: things each second.
    """

    def from_clients(count: int) -> Measured:
        clients = [_shots(works()) for _ in range(count)]
        return Measured(fire(cluster.port, clients, seconds=effort.seconds / 2).per_second)

    wake_up(cluster, model)
    return compared(
        f"{family}, batched over one by one",
        unit,
        take_turns(
            effort.repeats, lambda: from_clients(DEFAULT_CONNECTIONS), lambda: from_clients(1)
        ),
        peer_name="the same from one client, which is never batched",
        note=f"{DEFAULT_CONNECTIONS} clients; {note}",
    )


def against_bare(
    cluster: Cluster,
    effort: Effort,
    scratch: Path,
    name: str,
    works: Iterator[Work],
    target: Target | None = None,
    *,
    model: str,
    library: str,
    note: str,
    as_often: int = 1,
) -> Row:
    """One client; the time of whole answers, and of the library's for the same requests.

    Args:
        library: what `model` is made with.
        as_often: how many times as many requests as where one takes a good part of a second.
    """
    many = effort.in_many_turns
    requests = as_often * many.rounds
    upcoming, again = itertools.tee(works)

    def ours() -> Measured:
        shots = [each.shot for each in itertools.islice(upcoming, requests)]
        return Measured(fire(cluster.port, [iter(shots)]).p50_ms)

    def theirs() -> Measured:
        same = [each.request for each in itertools.islice(again, requests)]
        return Measured(bare.answer_p50_ms(same))

    wake_up(cluster, model)
    with Bare(model, scratch) as bare:
        turns = take_turns(many.repeats, ours, theirs, thrown_away=1)
    return compared(
        name,
        "ms",
        turns,
        target,
        peer_name=f"{library} in a process of its own",
        note=f"p50, one client; {note}, Cache-Control: no-store",
    )


def _shots(works: Iterator[Work]) -> Iterator[Shot]:
    return (each.shot for each in works)
