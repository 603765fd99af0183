"""The autoscaling policy: load asks for replicas, memory says how many fit."""

from dataclasses import replace

import orjson
import pytest
from ray.experimental import internal_kv
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from graphs import scaling
from graphs.memory import MemoryGauge
from graphs.scaling import Observation, decide

QUIET = Observation(
    application="painter",
    deployment="Image",
    replicas=1,
    target_replicas=1,
    requests=0,
    waiting=0,
    target_ongoing_requests=2,
    replica_mb=1_000,
    used_mb=4_000,
    total_mb=10_000,
)


def test_replicas_follow_the_load():
    assert decide(replace(QUIET, requests=6)).replicas == 3
    assert decide(replace(QUIET, replicas=3, requests=2)).replicas == 1
    assert decide(QUIET).replicas == 0


def test_no_more_replicas_than_fit():
    busy = replace(QUIET, requests=40)
    decision = decide(busy)
    assert decision.replicas == 1 + 5
    assert "no room" in decision.reason
    assert decide(replace(busy, used_mb=9_500)).replicas == 1


def test_without_figures_of_memory_load_decides():
    assert decide(replace(QUIET, requests=40, total_mb=0, replica_mb=0)).replicas == 20


def test_overfull_memory_takes_a_replica_away_but_never_the_last():
    overfull = replace(QUIET, replicas=3, requests=6, used_mb=9_900)
    assert decide(overfull).replicas == 2
    assert decide(replace(overfull, replicas=1)).replicas >= 1


@pytest.fixture
def board(monkeypatch):
    """The cluster's key-value store."""
    kept: dict[bytes, bytes] = {}
    put = lambda key, value, namespace: kept.__setitem__(key, value)  # noqa: E731
    monkeypatch.setattr(internal_kv, "_internal_kv_put", put)
    return kept


def test_what_it_sees_and_decides_is_published_once_per_change(board):
    context = AutoscalingContext(
        deployment_id=None,
        deployment_name="Image",
        app_name="painter",
        current_num_replicas=1,
        target_num_replicas=1,
        running_replicas=[],
        total_num_requests=6.0,
        total_queued_requests=5.0,
        aggregated_metrics={
            "own_mb": {"a": 900.0, "b": 1_000.0},
            "used_mb": {"a": 4_000.0},
            "total_mb": {"a": 10_000.0},
        },
        raw_metrics=None,
        capacity_adjusted_min_replicas=0,
        capacity_adjusted_max_replicas=4,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=AutoscalingConfig(min_replicas=0, max_replicas=4, target_ongoing_requests=2),
    )
    replicas, state = scaling.queue_and_memory(context)
    assert replicas == 3
    told = orjson.loads(board.pop(b"painter/Image"))
    assert told["seen"]["replica_mb"] == 1_000
    assert told["decision"] == {"replicas": 3.0, "reason": "load"}
    context.policy_state = state
    scaling.queue_and_memory(context)
    assert not board


def test_the_gauge_knows_this_process_and_this_machine(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    read = MemoryGauge().read()
    assert 10 < read["own_mb"] < read["total_mb"]
    assert read["used_mb"] < read["total_mb"]
