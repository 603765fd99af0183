"""What must agree across a configuration, and Serve would not say.

Place: the last part of the strict check; every key and argument is known to be good by now.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig

from core.errors import SettingsError
from core.imports import check_limits, load_spec
from core.model import ModelCard

MEMORY_SETTINGS = ("memory_fraction", "gpu-memory-utilization", "gpu_memory_utilization")

Applications = Sequence[dict[str, Any]]


def cross_check(
    applications: Applications, deployments: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[str]]:
    """Faults and warnings of applications whose deployments are called `deployments`."""
    faults = [
        *_unknown_deployments(applications, deployments),
        *_routes(applications),
        *_scaling(applications),
        *_gpus(applications),
        *_cards(applications),
    ]
    return faults, list(_unlisted_models(applications))


def _options(applications: Applications) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for application in applications:
        for deployment in application.get("deployments") or ():
            where = f"applications[{application['name']}].deployments[{deployment['name']}]"
            yield where, application, deployment


def _unknown_deployments(
    applications: Applications, deployments: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for where, application, deployment in _options(applications):
        known = deployments.get(application["name"], ())
        if deployment["name"] not in known:
            yield f"{where}: the application has only {', '.join(known)}"


def _is_model(application: dict[str, Any]) -> bool:
    return "spec" in (application.get("args") or {})


def _routes(applications: Applications) -> Iterator[str]:
    """Serve's default prefix is `/`: a model without `route_prefix: null` would take the route
    of the gateway, and be reachable without a key.
    """
    for application in applications:
        if _is_model(application) and application.get("route_prefix", "/") is not None:
            yield f"applications[{application['name']}].route_prefix: must be null for a model"


def _scaling(applications: Applications) -> Iterator[str]:
    for where, _, deployment in _options(applications):
        scaling = deployment.get("autoscaling_config")
        if not isinstance(scaling, dict):
            continue
        try:
            config = AutoscalingConfig(**scaling)
        except ValidationError as error:
            yield f"{where}.autoscaling_config: {error.errors()[0]['msg']}"
            continue
        if config.downscale_delay_s < config.look_back_period_s:
            yield (
                f"{where}.autoscaling_config: downscale_delay_s ({config.downscale_delay_s:g})"
                f" must not be below look_back_period_s ({config.look_back_period_s:g})"
            )


def _gpus(applications: Applications) -> Iterator[str]:
    """Fractions of a GPU are bookkeeping: the engine itself must keep to its part."""
    for where, application, deployment in _options(applications):
        share = (deployment.get("ray_actor_options") or {}).get("num_gpus") or 0
        if share > 1 and share != int(share):
            yield f"{where}.ray_actor_options.num_gpus: {share} GPUs cannot be given"
        for setting, memory in _memory_shares(application):
            if 0 < share < memory:
                yield (
                    f"{where}: takes {share} of a GPU but its engine takes {memory:g} of the memory"
                    f" ({setting}); replicas that share a GPU must add up to at most 1"
                )


def _memory_shares(application: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """What the engine takes of a GPU's memory, under the names that settings and vLLM have."""
    engine = (application.get("args") or {}).get("engine") or {}
    for given in (engine, engine.get("options") or {}):
        for setting in MEMORY_SETTINGS:
            if (memory := _number(given.get(setting))) is not None:
                yield setting, memory


def _number(value: Any) -> float | None:
    """What is no number is the engine's to refuse."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _cards(applications: Applications) -> Iterator[str]:
    """Every model that the gateway lists has an application, of the same spec."""
    by_name = {application["name"]: application for application in applications}
    for where, card in _listed(applications):
        if isinstance(card, str):
            yield f"{where}: {card}"
            continue
        application = by_name.get(card.application_name)
        spec = ((application or {}).get("args") or {}).get("spec")
        if application is None:
            yield f"{where}: there is no application '{card.application_name}'"
        elif spec is not None and spec != card.spec:
            yield f"{where}: spec is {card.spec}, but its application runs {spec}"
        else:
            yield from (f"{where}: {fault}" for fault in _limits(card, application))


def _limits(card: ModelCard, application: dict[str, Any]) -> Iterator[str]:
    """A gateway that promises what the engine refuses wakes it in vain."""
    try:
        check_limits(card, load_spec(card.spec))
    except SettingsError as error:
        yield str(error)
    engine = (application.get("args") or {}).get("engine") or {}
    if "limits" in engine and engine["limits"] != card.limits:
        yield "its limits are not those of its engine"


def _listed(applications: Applications) -> Iterator[tuple[str, ModelCard | str]]:
    for where, _, deployment in _options(applications):
        models = (deployment.get("user_config") or {}).get("models") or ()
        for index, entry in enumerate(models):
            try:
                card: ModelCard | str = ModelCard.model_validate(entry)
            except ValidationError as error:
                card = str(error.errors()[0]["msg"])
            yield f"{where}.user_config.models[{index}]", card


def _unlisted_models(applications: Applications) -> Iterator[str]:
    listed = {c.application_name for _, c in _listed(applications) if isinstance(c, ModelCard)}
    for application in applications:
        if _is_model(application) and application["name"] not in listed:
            yield f"applications[{application['name']}]: no gateway lists it; only handles reach it"
