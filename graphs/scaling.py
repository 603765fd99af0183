"""When a model gets more or fewer replicas: a Serve autoscaling policy.

Place: Serve's controller calls `queue_and_memory` for each deployment whose `autoscaling_config`
names it; what it returns is bounded and delayed by that configuration. Waiting callers ask for
replicas, device memory says how many fit. The first replica of a sleeping model is Serve's own
doing. Each decision is published for `GET /v1/cluster/scaling-decision`.

    autoscaling_config:
      policy: {policy_function: graphs.scaling:queue_and_memory}
"""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from ray.experimental import internal_kv
from ray.serve.config import AutoscalingContext

FULL = 0.9
"""Share of a device's memory up to which replicas are added."""
OVERFULL = 0.97
"""Share beyond which one is taken away: what swaps or fails serves nobody."""
NAMESPACE = b"carillon-scaling"
REPUBLISH_S = 5.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What the policy sees of one deployment."""

    application: str
    deployment: str
    replicas: int
    target_replicas: int
    requests: float
    """Running and waiting, over the look-back period."""
    waiting: float
    target_ongoing_requests: float
    replica_mb: float
    """Memory of the largest replica."""
    used_mb: float
    total_mb: float
    """Of the fullest device that a replica lives on; 0 where none has reported."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas there should be, before Serve's bounds and delays."""

    replicas: float
    reason: str


def decide(seen: Observation) -> Decision:
    """As many replicas as the load needs, and no more than the memory holds."""
    wanted = seen.requests / seen.target_ongoing_requests
    if seen.total_mb and seen.used_mb > OVERFULL * seen.total_mb and seen.replicas > 1:
        return Decision(min(wanted, seen.replicas - 1), "memory is overfull")
    if wanted <= seen.replicas:
        return Decision(wanted, "load")
    room = _room(seen)
    if wanted > seen.replicas + room:
        return Decision(seen.replicas + room, "memory has no room for more")
    return Decision(wanted, "load")


def _room(seen: Observation) -> float:
    """How many more replicas fit."""
    if not seen.replica_mb or not seen.total_mb:
        return math.inf
    return max(0, int((FULL * seen.total_mb - seen.used_mb) / seen.replica_mb))


def queue_and_memory(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """The policy. Serve keeps the returned state between calls."""
    seen = observe(context)
    decision = decide(seen)
    return decision.replicas, _published(seen, decision, dict(context.policy_state))


def observe(context: AutoscalingContext) -> Observation:
    """What Serve tells, in our words."""
    metrics = context.aggregated_metrics or {}
    return Observation(
        application=context.app_name or "",
        deployment=context.deployment_name,
        replicas=context.current_num_replicas,
        target_replicas=context.target_num_replicas,
        requests=context.total_num_requests,
        waiting=context.total_queued_requests,
        target_ongoing_requests=context.config.get_target_ongoing_requests(),
        replica_mb=_largest(metrics, "own_mb"),
        used_mb=_largest(metrics, "used_mb"),
        total_mb=_largest(metrics, "total_mb"),
    )


def _largest(metrics: dict[str, Any], name: str) -> float:
    return max((metrics.get(name) or {}).values(), default=0.0)


def _published(seen: Observation, decision: Decision, state: dict[str, Any]) -> dict[str, Any]:
    """Tell the cluster when something changed, and now and then that nothing did."""
    news = [seen.replicas, seen.target_replicas, math.ceil(decision.replicas), decision.reason]
    now = time.time()
    if state.get("told") == news and now - state.get("told_at", 0.0) < REPUBLISH_S:
        return state
    document = {"at": int(now), "seen": asdict(seen), "decision": asdict(decision)}
    key = f"{seen.application}/{seen.deployment}".encode()
    internal_kv._internal_kv_put(key, orjson.dumps(document), namespace=NAMESPACE)  # noqa: SLF001
    return state | {"told": news, "told_at": now}


def published() -> list[dict[str, Any]]:
    """The latest decision for each deployment that scales by this policy. Blocks on the GCS."""
    keys = internal_kv._internal_kv_list(b"", namespace=NAMESPACE)  # noqa: SLF001
    found = (internal_kv._internal_kv_get(key, namespace=NAMESPACE) for key in sorted(keys))  # noqa: SLF001
    return [orjson.loads(document) for document in found if document]
