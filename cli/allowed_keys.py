"""Which keys a configuration may have, taken from Serve's own pydantic schema.

Place: the first half of the strict check. It looks at names only; pydantic judges values.
Mappings whose content is the application's (`args`, `user_config`, `resources`) are not entered.
"""

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from ray.runtime_env import RuntimeEnv


def unknown_keys(schema: type[BaseModel], value: Any, path: str = "") -> list[str]:
    """One line for each key in `value` that `schema` does not have, at any depth."""
    return list(_unknown(schema, value, path))


def _unknown(schema: type[BaseModel], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    fields = schema.model_fields
    for key, content in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in fields:
            yield _complaint(where, str(key), fields)
        elif key == "runtime_env":
            yield from _unknown_of_runtime_env(content, where)
        else:
            yield from _inside(fields[key].annotation, content, where)


def _inside(annotation: Any, content: Any, path: str) -> Iterator[str]:
    schema = _schema_of(annotation)
    if schema is None:
        return
    if isinstance(content, list):
        for index, item in enumerate(content):
            yield from _unknown(schema, item, f"{path}[{_name(item, index)}]")
    else:
        yield from _unknown(schema, content, path)


def _schema_of(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation like `Optional[List[Union[Dict, Model]]]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (schema := _schema_of(argument)) is not None:
            return schema
    return None


def _unknown_of_runtime_env(content: Any, path: str) -> Iterator[str]:
    known = {field: None for field in RuntimeEnv.known_fields if not field.startswith("_")}
    for key in content if isinstance(content, dict) else ():
        if key not in known:
            yield _complaint(f"{path}.{key}", str(key), known)


def _name(item: Any, index: int) -> str:
    return str(item.get("name", index)) if isinstance(item, dict) else str(index)


def _complaint(where: str, key: str, known: Any) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f"{where}: Serve knows no such key{hint}"
