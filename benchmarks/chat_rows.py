"""Chat rows: the whole path against vLLM's own server, with the same weights and options.

Both engines are loaded for the length of these rows; while one is measured the other has no
request, and an idle vLLM engine uses no CPU worth naming. Both sides of a turn get the same
prompts, which no other turn has, and stream with usage, greedily, to exactly the maximum of tokens.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import peers
from benchmarks.cluster import CHAT_MODEL, Cluster, model_application, replica_environment
from benchmarks.compare import Measured, Row, Rule, Target, compared
from benchmarks.gateway_rows import Effort
from benchmarks.load import LoadFailed, Tally, fire
from benchmarks.peers import Server
from benchmarks.shots import chats, questions
from models.sources import locate

MAX_TOKENS = 128
"""Of an answer: the default of vLLM's own serving benchmark."""
THROUGHPUT = Target(Rule.RATIO_AT_LEAST, 0.95)
TTFT = Target(Rule.DIFFERENCE_AT_MOST, 10.0)
CLIENTS: dict[int, tuple[Target | None, Target | None]] = {
    1: (None, TTFT),
    8: (None, None),
    32: (THROUGHPUT, None),
}
"""Concurrent clients, and what is asked of their tokens each second and of their first token."""
ROUNDS_ALONE = 2
"""A client alone is quicker: it asks so many times as often."""
CLOSE = 32
"""Clients with whom the sides are so close that they take more turns."""
CLOSE_ROUNDS = 5
"""Answers of each of them in a turn: the first ones, asked for all at once, must not decide."""


def chat(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """Tokens each second and time to first token at several numbers of clients."""
    engine = model_application(CHAT_MODEL)["args"]["engine"]
    model, options = Path(locate(engine["source"])), engine.get("options", {})
    environment = replica_environment(CHAT_MODEL)
    with peers.vllm(scratch, model, CHAT_MODEL, options, environment) as peer:
        for clients, targets in CLIENTS.items():
            yield from rows_of(cluster, peer, clients, _effort(effort, clients), targets)


def _effort(effort: Effort, clients: int) -> Effort:
    if clients != CLOSE:
        return effort
    return replace(effort.in_brief_turns, rounds=CLOSE_ROUNDS)


def rows_of(
    cluster: Cluster,
    peer: Server,
    clients: int,
    effort: Effort,
    targets: tuple[Target | None, Target | None],
) -> Iterator[Row]:
    """Both rows of one number of clients."""
    turns = []
    unique = questions()
    rounds = effort.rounds * (ROUNDS_ALONE if clients == 1 else 1)
    for turn in range(1 + effort.repeats):
        sides = (cluster, peer) if turn % 2 else (peer, cluster)
        asked = [list(itertools.islice(unique, rounds)) for _ in range(clients)]
        done = {side.port: one_turn(side, asked) for side in sides}
        turns.append((done[cluster.port], done[peer.port]))
    del turns[0]  # it warmed both sides up
    name = "1 client" if clients == 1 else f"{clients} clients"
    yield compared(
        f"chat, {name}",
        "tokens/s",
        [(ours[0], theirs[0]) for ours, theirs in turns],
        targets[0],
        peer_name="vLLM's own server",
        note=f"{CHAT_MODEL}, streamed, {MAX_TOKENS} tokens an answer; unique prompts",
    )
    yield compared(
        f"time to first token, {name}, p50",
        "ms",
        [(ours[1], theirs[1]) for ours, theirs in turns],
        targets[1],
        peer_name="vLLM's own server",
        note="in the same turns",
    )


def one_turn(server: Server, asked: list[list[str]]) -> tuple[Measured, Measured]:
    """Tokens each second, and the median time to the first token.

    Args:
        asked: the questions of each client.
    """
    loads = [iter(chats(server.key, CHAT_MODEL, each, MAX_TOKENS)) for each in asked]
    used = server.cpu_seconds()
    tally = fire(server.port, loads)
    used = server.cpu_seconds() - used
    _require_whole(tally, sum(map(len, asked)))
    cpu_ms = 1000 * used / len(tally.latencies)
    return Measured(tally.tokens / tally.seconds, cpu_ms), Measured(tally.ttft_p50_ms)


def _require_whole(tally: Tally, answers: int) -> None:
    """Both sides must do the same work, or the comparison is void."""
    if tally.tokens != answers * MAX_TOKENS:
        raise LoadFailed(f"{tally.tokens} tokens came instead of {answers * MAX_TOKENS}")
