"""Strict reading of `serve_config.yaml`.

Place: before `up` and `deploy` apply a file, and inside `plan`. Serve ignores keys that it does
not know, at every level, so a typo silently gives a default; here the allowed keys come from
Serve's own schema and an unknown one is an error that names its path. This module applies
nothing and needs no running cluster.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from cli.allowed_keys import unknown_keys
from cli.applications import built_deployments
from cli.cross_checks import cross_check
from core.errors import SettingsError

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """A configuration that Serve will understand as it was meant."""

    document: Document
    warnings: tuple[str, ...]
    deployments: dict[str, tuple[str, ...]]
    """Names of the deployments of each application."""

    @property
    def application_names(self) -> list[str]:
        return [application["name"] for application in self.document["applications"]]

    def with_port(self, port: int | None) -> Document:
        """The document, listening on `port` when one is given."""
        if port is None:
            return self.document
        http = {**(self.document.get("http_options") or {}), "port": port}
        return {**self.document, "http_options": http}


def read_config(path: Path) -> CheckedConfig:
    """Read and check `path`. Raises SettingsError that lists every fault, one a line."""
    return check(_load(path), str(path))


def check(document: Any, where: str) -> CheckedConfig:
    """Check a document. Raises SettingsError.

    Shape comes first: arguments and cross-references are judged when every key is known.
    """
    _refuse(where, _shape_faults(document))
    deployments, faults = built_deployments(document["applications"])
    _refuse(where, faults)
    faults, warnings = cross_check(document["applications"], deployments)
    _refuse(where, faults)
    return CheckedConfig(document, tuple(warnings), deployments)


def _shape_faults(document: Any) -> list[str]:
    if not isinstance(document, dict) or not document.get("applications"):
        return ["applications: the file names no application"]
    faults = unknown_keys(ServeDeploySchema, document)
    try:
        ServeDeploySchema.model_validate(document)
    except ValidationError as error:
        faults += [f"{_location(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return faults


def _location(parts: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in parts) or "file"


def _refuse(where: str, faults: list[str]) -> None:
    if faults:
        raise SettingsError("\n  ".join([f"{where} is not usable:", *faults]))


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice; the usual loader silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"'{key.value}' twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(), _StrictLoader)  # noqa: S506 - derives from SafeLoader
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error
