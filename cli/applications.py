"""Building applications without a cluster, to know that their arguments are good.

Place: the second half of the strict check. A builder validates its arguments and binds its
deployments; it loads no weights and starts nothing, so running it here is safe and exact.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from ray.serve import Application
from ray.serve._private.build_app import build_app

from core.errors import CarillonError, SettingsError
from core.imports import load_object


def built_deployments(
    applications: Iterable[dict[str, Any]],
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The deployment names of each application, and one line for each that cannot be built."""
    names: dict[str, tuple[str, ...]] = {}
    faults: list[str] = []
    for application in applications:
        name = application["name"]
        try:
            names[name] = _deployments_of(application)
        except ValidationError as error:
            faults += [
                f"applications[{name}].args.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors()
            ]
        except CarillonError as error:
            faults.append(f"applications[{name}]: {error}")
    return names, faults


def _deployments_of(application: dict[str, Any]) -> tuple[str, ...]:
    target = load_object(application["import_path"])
    app = target if isinstance(target, Application) else _run_builder(target, application)
    built = build_app(app, name=application["name"], default_runtime_env={})
    return tuple(deployment.name for deployment in built.deployments)


def _run_builder(builder: Callable[[Any], Any], application: dict[str, Any]) -> Application:
    arguments = _arguments_model(builder, application["import_path"])
    app = builder(arguments.model_validate(application.get("args") or {}))
    if not isinstance(app, Application):
        raise SettingsError(f"{application['import_path']} returns no Application")
    return app


def _arguments_model(builder: Callable[[Any], Any], path: str) -> type[BaseModel]:
    parameters = list(inspect.signature(builder).parameters.values())
    if len(parameters) == 1:
        annotation = parameters[0].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    raise SettingsError(f"{path} is not a typed builder: it needs `build(args: SomeModel)`")
