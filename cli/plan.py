"""What a changed configuration would restart, by Ray Serve's own rules.

Place: `carillon plan`, and `deploy` before it asks. A pure comparison of two configurations; it
applies nothing and needs no cluster.

The rules, read in Ray 2.60 (`serve/_private/deploy_utils.py:get_app_code_version`,
`serve/_private/version.py:DeploymentVersion`, `update_type` in `serve/_private/config.py`):

- an application's code version is a hash of `import_path`, `runtime_env`, `args`,
  `autoscaling_policy` and, over its deployments, each autoscaling policy, request router and list
  of deployment actors. A new one runs the builder again and restarts *every* replica of the
  application. Adding or removing an `autoscaling_config` changes that list too;
- `ray_actor_options`, the placement group options, `max_replicas_per_node` and
  `gang_scheduling_config` restart the replicas of their deployment;
- everything else is applied to running replicas, or only concerns the controller.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Config = Mapping[str, Any]

WHOLE_APPLICATION = ("import_path", "runtime_env", "args", "autoscaling_policy")
RESTARTING = (
    "ray_actor_options",
    "placement_group_bundles",
    "placement_group_strategy",
    "placement_group_bundle_label_selector",
    "placement_group_fallback_strategy",
    "max_replicas_per_node",
    "gang_scheduling_config",
)
CONTROLLER_ONLY = (
    "num_replicas",
    "max_queued_requests",
    "rolling_update_percentage",
    "max_surge_percent",
    "graceful_shutdown_timeout_s",
    "health_check_period_s",
    "health_check_timeout_s",
)
AT_START_ONLY = ("http_options", "proxy_location", "grpc_options", "controller_options")


class Effect(StrEnum):
    """What happens to the replicas of a deployment."""

    ADDED = "added"
    REMOVED = "removed"
    RESTARTED = "replicas restart"
    RECONFIGURED = "reconfigured, no restart"
    SCALED = "controller only, no restart"
    IGNORED = "ignored until make stop, make serve"


@dataclass(frozen=True, slots=True)
class Change:
    """One effect on one deployment; `deployment` is "*" for all of the application's."""

    application: str
    deployment: str
    effect: Effect
    because: tuple[str, ...] = ()


def plan(running: Config, desired: Config) -> list[Change]:
    """Changes that turn `running` into `desired`; both in the format of `serve deploy`."""
    old, new = _applications(running), _applications(desired)
    changes = [*_start_only(running, desired)]
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            changes.append(Change(name, "*", Effect.REMOVED))
        elif name not in old:
            changes.append(Change(name, "*", Effect.ADDED))
        else:
            changes += _application_changes(name, old[name], new[name])
    return changes


def removed(changes: list[Change]) -> list[str]:
    """Applications that would disappear."""
    return [change.application for change in changes if change.effect is Effect.REMOVED]


def _applications(config: Config) -> dict[str, Config]:
    """Applications by name, with the file's logging options where they have none, as Serve does."""
    shared = config.get("logging_config")
    return {
        application["name"]: {"logging_config": shared, **application}
        if application.get("logging_config") is None
        else application
        for application in config.get("applications") or ()
    }


def _start_only(old: Config, new: Config) -> Iterator[Change]:
    """Serve takes these when it starts; afterwards it warns and goes on. Unset ones are unknown."""
    differing = tuple(
        where
        for key in AT_START_ONLY
        for where, before, after in _leaves(key, old.get(key), new.get(key))
        if before is not None and after is not None and before != after
    )
    if differing:
        yield Change("(cluster)", "*", Effect.IGNORED, differing)


def _leaves(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from ((f"{key}.{name}", old.get(name), value) for name, value in new.items())
    else:
        yield key, old, new


def _application_changes(name: str, old: Config, new: Config) -> Iterator[Change]:
    reasons = tuple(key for key in WHOLE_APPLICATION if _differ(old, new, key))
    reasons += tuple(f"deployments.{key}" for key, of in _CODE_PARTS.items() if of(old) != of(new))
    if reasons:
        yield Change(name, "*", Effect.RESTARTED, reasons)
        return
    for key in ("route_prefix", "logging_config"):
        if old.get(key) != new.get(key):
            yield Change(name, "*", Effect.RECONFIGURED, (key,))
    yield from _deployment_changes(name, _deployments(old), _deployments(new))


def _deployment_changes(
    name: str, old: dict[str, Config], new: dict[str, Config]
) -> Iterator[Change]:
    """Changed options, strongest effect first; an option that is gone goes back to the code's."""
    for deployment in [*old, *(d for d in new if d not in old)]:
        before, after = old.get(deployment, {}), new.get(deployment, {})
        differing = [
            key for key in {**before, **after} if key != "name" and _differ(before, after, key)
        ]
        by_effect: dict[Effect, list[str]] = {}
        for key in differing:
            by_effect.setdefault(_effect(key, before, after), []).append(key)
        for effect in (Effect.RESTARTED, Effect.RECONFIGURED, Effect.SCALED):
            if effect in by_effect:
                yield Change(name, deployment, effect, tuple(by_effect[effect]))


def _effect(key: str, before: Config, after: Config) -> Effect:
    if key in RESTARTING:
        return Effect.RESTARTED
    if key in CONTROLLER_ONLY:
        return Effect.SCALED
    if key == "autoscaling_config":
        return _autoscaling_effect(before[key] or {}, after[key] or {})
    return Effect.RECONFIGURED


def _autoscaling_effect(before: Config, after: Config) -> Effect:
    """Replicas themselves only know how to measure; the rest of autoscaling is the controller's."""
    measured = ("metrics_interval_s", "look_back_period_s")
    if any(before.get(key) != after.get(key) for key in measured):
        return Effect.RECONFIGURED
    return Effect.SCALED


def _deployments(application: Config) -> dict[str, Config]:
    return {d["name"]: d for d in application.get("deployments") or ()}


def _policies(application: Config) -> list[Any]:
    configs = [d.get("autoscaling_config") for d in application.get("deployments") or ()]
    return [config.get("policy") for config in configs if isinstance(config, Mapping)]


def _routers(application: Config) -> list[Any]:
    routers = [d.get("request_router_config") for d in application.get("deployments") or ()]
    return [router for router in routers if isinstance(router, Mapping)]


def _actors(application: Config) -> list[Any]:
    actors = [d.get("deployment_actors") for d in application.get("deployments") or ()]
    return [listed for listed in actors if isinstance(listed, list)]


_CODE_PARTS = {
    "autoscaling_config": _policies,
    "request_router_config": _routers,
    "deployment_actors": _actors,
}


def _differ(old: Config, new: Config, key: str) -> bool:
    return (old.get(key) or None) != (new.get(key) or None)
