"""Gateway rows: requests and streams each second against LiteLLM, and what the gateway adds.

Every request of ours is authenticated, held against six windows, reserved, settled and written to
the ledger's stream. LiteLLM checks its master key.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import peers, shots
from benchmarks.cluster import Cluster
from benchmarks.compare import Measured, Row, Rule, Target, alone, compared, take_turns
from benchmarks.handle_calls import HandleCalls
from benchmarks.load import DEFAULT_CONNECTIONS, LoadFailed, Shot, Tally, fire
from benchmarks.peers import Server

WORKERS = (1, 2)
WARM_S = 1.0
MARKED_SHARE = 0.99
"""Of LiteLLM's workers each has its own cache, and meets the request once without an answer."""
ECHO_NOTE = (
    "unique bodies, Cache-Control: no-store; LiteLLM with its cache off, master key only, in front"
    " of a backend that does no work"
)

Clients = Callable[[Server], Iterator[Shot]]
"""Makes the shots of one connection to a server."""
Gauge = Callable[[Tally], float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Args:
        repeats: turns of each side.
        seconds: length of a turn.
        latencies: requests of a turn, where latency is measured.
        rounds: requests of each client in a turn, where answers take long.
    """

    repeats: int = 5
    seconds: float = 5.0
    latencies: int = 400
    rounds: int = 6

    @property
    def in_brief_turns(self) -> "Effort":
        """About as long in all, for rows that end close to their bound: what disturbs one turn
        in four spoils the median of five sooner than that of eleven.
        """
        return replace(
            self,
            repeats=2 * self.repeats + 1,
            seconds=self.seconds / 2,
            rounds=max(2, self.rounds // 2),
        )

    @property
    def in_many_turns(self) -> "Effort":
        """The same for answers of less than a second, several times as long in all."""
        return replace(self, repeats=4 * self.repeats + 3, rounds=2)


QUICK = Effort(repeats=3, seconds=2.0, latencies=150, rounds=3)


def cached(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Identical requests, answered from the response cache."""

    def ours(server: Server) -> Iterator[Shot]:
        return shots.same(server.key, b"x-cache: hit")

    def theirs(server: Server) -> Iterator[Shot]:
        return shots.same(server.key, b"x-litellm-cache-key:")

    brief = effort.in_brief_turns
    with _best_litellm(scratch, effort, theirs, _requests, cache=True) as (peer, workers):
        turns = take_turns(
            brief.repeats,
            lambda: _rate(cluster, ours, brief, _requests),
            lambda: _rate(peer, theirs, brief, _requests),
            thrown_away=1,
        )
    yield compared(
        "cached responses",
        "requests/s",
        turns,
        Target(Rule.RATIO_AT_LEAST, 10),
        peer_name=f"LiteLLM, {workers} worker(s)",
        note="identical bodies; LiteLLM with its in-memory cache",
    )


def one_hop(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Unique requests through the gateway to a model that does no work, and back.

    The target is against LiteLLM as it starts by default, with one worker, as Carillon does with
    one gateway; with two workers it has both cores of a small machine.
    """
    default = Target(Rule.RATIO_AT_LEAST, 5)
    yield _one_hop_row("one-hop echo", cluster, effort, scratch, 1, default)
    yield _one_hop_row("one-hop echo, LiteLLM with 2 workers", cluster, effort, scratch, 2, None)


def _one_hop_row(
    name: str,
    cluster: Cluster,
    effort: Effort,
    scratch: Path,
    workers: int,
    target: Target | None,
) -> Row:
    def ours(server: Server) -> Iterator[Shot]:
        return shots.unique(server.key, mark=b"x-cache: bypass")

    def theirs(server: Server) -> Iterator[Shot]:
        return shots.unique(server.key)

    with _litellm(scratch, workers) as peer:
        turns = take_turns(
            effort.repeats,
            lambda: _rate(cluster, ours, effort, _requests),
            lambda: _rate(peer, theirs, effort, _requests),
        )
    peer_name = f"LiteLLM, {workers} worker(s)"
    return compared(name, "requests/s", turns, target, peer_name=peer_name, note=ECHO_NOTE)


def streams(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Streams of 200 words, a word an event."""

    def clients(server: Server) -> Iterator[Shot]:
        return shots.streams(server.key)

    with _best_litellm(scratch, effort, clients, _events, cache=False) as (peer, workers):
        turns = take_turns(
            effort.repeats,
            lambda: _rate(cluster, clients, effort, _events),
            lambda: _rate(peer, clients, effort, _events),
        )
    yield compared(
        "streamed chunks",
        "events/s",
        turns,
        Target(Rule.RATIO_AT_LEAST, 20),
        peer_name=f"LiteLLM, {workers} worker(s)",
        note=f"streams of {shots.STREAM_WORDS} events; {ECHO_NOTE}",
    )


def added_latency(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """One client: through HTTP and the gateway, and straight to the deployment by its handle."""

    def http() -> Measured:
        client = _first(shots.unique(cluster.key, headers=()), effort.latencies)
        return Measured(fire(cluster.port, [client]).p50_ms)

    def by_handle() -> Measured:
        return Measured(handle.calls_p50_ms(effort.latencies))

    with HandleCalls(cluster, scratch) as handle:
        turns = take_turns(effort.repeats, http, by_handle, thrown_away=1)
    yield compared(
        "added latency, one client, p50",
        "ms",
        turns,
        Target(Rule.DIFFERENCE_AT_MOST, 3.0),
        peer_name="the echo deployment by handle",
        note="unique cacheable bodies (MISS and store)",
    )


def connections(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """The gateway's own curve over connections. It has no peer."""
    del scratch
    effort = replace(effort, seconds=effort.seconds / 2)
    for count in (1, 16, 64):
        figures = [
            _rate(cluster, lambda server: shots.same(server.key), effort, _requests, count)
            for _ in range(effort.repeats)
        ]
        yield alone(f"cached responses, {count} connections", "requests/s", figures)
    for count in (1, 16, 64):
        figures = [
            _rate(cluster, lambda server: shots.unique(server.key), effort, _requests, count)
            for _ in range(effort.repeats)
        ]
        yield alone(f"one-hop echo, {count} connections", "requests/s", figures)


def _requests(tally: Tally) -> float:
    return tally.per_second


def _events(tally: Tally) -> float:
    return tally.events / tally.seconds


def _rate(
    server: Server,
    clients: Clients,
    effort: Effort,
    gauge: Gauge,
    count: int = DEFAULT_CONNECTIONS,
) -> Measured:
    """One turn: a warm-up that does not count, then the load that does.

    Raises LoadFailed when answers did not take the way they were meant to take.
    """
    fire(server.port, [clients(server) for _ in range(count)], seconds=WARM_S)
    used = server.cpu_seconds()
    tally = fire(server.port, [clients(server) for _ in range(count)], seconds=effort.seconds)
    used = server.cpu_seconds() - used
    if tally.marked < MARKED_SHARE * len(tally.latencies):
        raise LoadFailed(f"only {tally.marked} of {len(tally.latencies)} answers were as meant")
    return Measured(gauge(tally), 1000 * used / len(tally.latencies))


@contextmanager
def _litellm(scratch: Path, workers: int) -> Iterator[Server]:
    """LiteLLM without its cache, in front of a backend of its own."""
    with (
        peers.backend(scratch) as port,
        peers.litellm(scratch, port, workers, cache=False) as peer,
    ):
        yield peer


@contextmanager
def _best_litellm(
    scratch: Path, effort: Effort, clients: Clients, gauge: Gauge, *, cache: bool
) -> Iterator[tuple[Server, int]]:
    """LiteLLM with as many workers as do best here, and that number."""
    with ExitStack() as stack:
        port = stack.enter_context(peers.backend(scratch))
        trials = []
        for workers in WORKERS:
            context = stack.enter_context(ExitStack())
            peer = context.enter_context(peers.litellm(scratch, port, workers, cache=cache))
            rate = _rate(peer, clients, effort, gauge).value
            trials.append((rate, workers, peer, context))
        trials.sort(key=lambda trial: trial[0])
        *losers, (_, workers, best, _) = trials
        for loser in losers:
            loser[3].close()
        yield best, workers


def _first(clients: Iterator[Shot], count: int) -> Iterator[Shot]:
    return (shot for shot, _ in zip(clients, range(count), strict=False))
