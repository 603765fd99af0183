"""Import paths in configuration (`package.module:name`) to objects.

Place in the path: start-up only. It imports nothing outside this repository's packages or what
the operator's configuration names, and never touches request data.
"""

import importlib
from typing import Any

from core.errors import SettingsError
from core.model import ModelCard, ModelSpec
from core.settings import parse


def load_object(path: str) -> Any:
    """The object at `module:name`. Raises SettingsError when there is none."""
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"cannot import {path!r}: {error}", "spec") from error


def load_spec(path: str) -> ModelSpec:
    """The `ModelSpec` at `path`. Raises SettingsError when it is something else."""
    spec = load_object(path)
    if not isinstance(spec, ModelSpec):
        raise SettingsError(f"{path!r} is a {type(spec).__name__}, not a ModelSpec", "spec")
    return spec


def check_limits(card: ModelCard, spec: ModelSpec) -> None:
    """Raises SettingsError for a card whose `limits` are not those of its family."""
    if spec.limits is not None:
        parse(spec.limits, dict(card.limits), f"limits of the model {card.id!r}")
    elif card.limits:
        raise SettingsError(f"the model {card.id!r} is of a family without limits", "limits")
