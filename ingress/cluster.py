"""The cluster, seen by its autoscaler: machines, replicas, and why there are so many.

Place in the path: beside it; every handler needs the `admin` scope. It scales nothing: Serve's
controller does, by `graphs.scaling`.

    GET /v1/cluster/metrics            GET /metrics            nodes, resources, replicas
    GET /v1/cluster/scaling-decision   GET /scaling-decision   what the policy saw and decided
"""

import asyncio
from collections.abc import Callable
from typing import Any

import ray
from starlette.responses import Response

from auth.principal import Scope
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.responses import json_response

Decisions = Callable[[], list[dict[str, Any]]]
"""The latest decision for each autoscaled deployment. Blocks. See `graphs.scaling.published`."""


class ClusterEndpoints:
    """Handlers for operators and their dashboards."""

    def __init__(
        self, path: RequestPath, catalog: Catalog, readiness: Readiness, decisions: Decisions
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._readiness = readiness
        self._decisions = decisions

    def endpoints(self) -> list[Endpoint]:
        decision = "What the autoscaler saw and decided"
        return [
            Endpoint("GET", "/v1/cluster/metrics", self.metrics, "Machines and replicas"),
            Endpoint("GET", "/v1/cluster/scaling-decision", self.scaling_decision, decision),
            Endpoint("GET", "/metrics", self.metrics, "Alias of /v1/cluster/metrics"),
            Endpoint("GET", "/scaling-decision", self.scaling_decision, "Alias"),
        ]

    async def metrics(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        nodes, decisions = await asyncio.gather(
            asyncio.to_thread(_nodes), asyncio.to_thread(self._decisions)
        )
        seen = {entry["seen"]["application"]: entry["seen"] for entry in decisions}
        return json_response(
            {
                "object": "cluster.metrics",
                "nodes": nodes,
                "models": [
                    self._model(model.card.id, model.card.application_name, seen)
                    for model in self._catalog
                ],
            }
        )

    async def scaling_decision(self, exchange: Exchange) -> Response:
        await self._path.authorize(exchange.key, Scope.ADMIN)
        decisions = await asyncio.to_thread(self._decisions)
        return json_response({"object": "list", "data": decisions})

    def _model(self, model: str, application: str, seen: dict[str, Any]) -> dict[str, Any]:
        state = self._readiness.of(application)
        figures = seen.get(application) or {}
        return {
            "model": model,
            "application": application,
            "status": "absent" if state is None else state.status.lower(),
            "asleep": state is not None and state.asleep,
            "running_replicas": state.replicas if state else 0,
            "target_replicas": figures.get("target_replicas"),
            "requests": figures.get("requests"),
            "waiting": figures.get("waiting"),
            "replica_mb": figures.get("replica_mb"),
        }


def _nodes() -> list[dict[str, Any]]:
    """The machines that are alive: what they have and what is taken."""
    total, free = ray.state.total_resources_per_node(), ray.state.available_resources_per_node()
    return [
        {
            "node_id": node["NodeID"],
            "address": node["NodeManagerAddress"],
            "resources": {
                name: {"total": amount, "available": free.get(node["NodeID"], {}).get(name, 0)}
                for name, amount in sorted(total.get(node["NodeID"], {}).items())
                if not name.startswith(("node:", "accelerator_type"))
            },
        }
        for node in ray.nodes()
        if node["Alive"]
    ]
