"""Settings: where secrets come from, and the strict reading of YAML.

Place in the path: start-up only. This is the one module that reads the process environment.
Configuration holds references to secrets (`env:NAME`, `file:PATH`), never the secrets.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, GetCoreSchemaHandler, SecretStr, ValidationError
from pydantic_core import core_schema

from core.errors import SettingsError
from core.model import Frozen

M = TypeVar("M", bound=BaseModel)

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: relative paths in configuration start here."""


def environment(name: str, default: str | None = None) -> str | None:
    """The environment variable `name`, or `default` when it is unset or empty."""
    return os.environ.get(name) or default


def child_environment(additions: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process: this one, with `additions` over it."""
    return {**os.environ, **additions}


def set_environment(name: str, value: str) -> None:
    """Set a variable of this process, so that secret references like `env:NAME` find it."""
    os.environ[name] = value


def state_directory() -> Path:
    """Where this installation keeps its data: `CARILLON_STATE`, else `.carillon` here."""
    return Path(environment("CARILLON_STATE") or ROOT / ".carillon").absolute()


class SecretReference(str):
    """`env:NAME`, or `file:PATH` with relative paths inside the state directory."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(pattern=r"^(env|file):.+$")
        )

    def resolve(self) -> SecretStr:
        """The secret itself. Raises SettingsError naming the reference when there is none."""
        kind, _, name = self.partition(":")
        value = environment(name) if kind == "env" else _file_content(state_directory() / name)
        if not value:
            raise SettingsError(f"the secret {str(self)!r} is not set")
        return SecretStr(value)


def _file_content(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


class StoreSettings(Frozen):
    """How to reach PostgreSQL and Valkey, and the pepper that keys are hashed with."""

    database_url: SecretReference = SecretReference("env:DATABASE_URL")
    redis_url: SecretReference = SecretReference("env:REDIS_URL")
    pepper: SecretReference = SecretReference("file:pepper")
    prefix: str = "carillon"
    """Begins every Valkey key, so that several clusters can share one server."""
    timeout_s: float = 2.0
    """Longest wait for one store round trip; then the caller gets a 503."""


def read_yaml(path: Path) -> Any:
    """The document in `path`. Raises SettingsError when it is missing or not YAML."""
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from error


def parse(model: type[M], document: Any, where: str) -> M:
    """`document` as `model`. Raises SettingsError that names every field at fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise SettingsError(f"{where}: {faults}") from error
