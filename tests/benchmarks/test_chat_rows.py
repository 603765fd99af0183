"""Chat turns: both sides are asked the same, and nothing is asked twice."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import chat_rows
from benchmarks.cluster import Cluster
from benchmarks.gateway_rows import Effort
from benchmarks.load import LoadFailed, Tally
from benchmarks.peers import Server

OURS, THEIRS = Cluster(1, "ours", state=Path()), Server(2, "theirs")


@dataclass
class Load:
    """Stands for `fire`: keeps what each side was asked, and answers it at once."""

    tokens: int = chat_rows.MAX_TOKENS
    asked: list[tuple[int, list[str]]] = field(default_factory=list)

    def __call__(self, port, clients):
        prompts = [prompt_of(shot) for client in clients for shot in client]
        self.asked.append((port, prompts))
        count = len(prompts)
        return Tally(2.0 / port, [0.1] * count, [0.01 * port] * count, tokens=self.tokens * count)


def prompt_of(shot):
    body = json.loads(shot.wire.partition(b"\r\n\r\n")[2])
    assert body["max_tokens"] == chat_rows.MAX_TOKENS
    return body["messages"][0]["content"]


@pytest.fixture
def load(monkeypatch):
    load = Load()
    monkeypatch.setattr(chat_rows, "fire", load)
    for side in (Cluster, Server):
        monkeypatch.setattr(side, "cpu_seconds", lambda _: 0.0)
    return load


@pytest.mark.parametrize("clients", chat_rows.CLIENTS)
def test_both_sides_of_a_turn_get_the_same_prompts_which_no_other_turn_has(load, clients):
    effort = Effort(repeats=3, rounds=2)
    throughput, first_token = chat_rows.rows_of(OURS, THEIRS, clients, effort, (None, None))
    turns = list(zip(load.asked[::2], load.asked[1::2], strict=True))
    assert len(turns) == 1 + effort.repeats
    assert [first[0] for first, _ in turns] == [2, 1, 2, 1]
    for (_, first), (_, second) in turns:
        assert first == second
    prompts = [prompt for (_, asked), _ in turns for prompt in asked]
    assert len(set(prompts)) == len(prompts) == len(turns) * len(turns[0][0][1])
    assert (throughput.ratio, len(throughput.turns)) == (0.5, effort.repeats)
    assert first_token.ratio == 0.5


def test_a_side_that_says_less_than_it_was_asked_for_voids_the_comparison(load):
    load.tokens -= 1
    with pytest.raises(LoadFailed):
        list(chat_rows.rows_of(OURS, THEIRS, 1, Effort(), (None, None)))
