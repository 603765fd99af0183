"""Plain documents: JSON or YAML of strangers, as values that are safe to walk.

Place in the path: step 1, for routes that take documents of any shape. What comes out has a bounded
depth and size, text for keys, and no part that appears twice: whoever walks it later needs no care.
It does not know what a document means.
"""

import math
import re
from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from core.errors import InvalidRequest, MalformedBody

DEEPEST = 32
"""Levels of lists and objects inside each other."""
MOST_VALUES = 200_000
LONGEST_YAML = 256 * 2**10
"""Bytes: YAML is read slowly."""
LARGEST_INTEGER = 2**63

Plain = dict[str, Any] | list[Any] | str | int | float | bool | None


def checked(value: Any) -> Any:
    """`value`, if it is plain. Raises InvalidRequest that names the place at fault."""
    count = 0
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    while waiting:
        place, depth, part = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise InvalidRequest(f"at most {MOST_VALUES} values in a document")
        if depth > DEEPEST:
            raise InvalidRequest(f"'{place[:100]}' is more than {DEEPEST} levels deep", place[:100])
        for name, child in _children(part, place):
            waiting.append((f"{place}.{name}" if place else name, depth + 1, child))
    return value


def _children(part: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for name, child in part.items():
            if not isinstance(name, str):
                raise InvalidRequest(f"'{place}': names must be text, not {name!r}", place or None)
            yield name, child
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield str(index), child
    elif isinstance(part, float) and not math.isfinite(part):
        raise InvalidRequest(f"'{place}' is not a finite number", place or None)
    elif isinstance(part, int) and not -LARGEST_INTEGER <= part < LARGEST_INTEGER:
        raise InvalidRequest(f"'{place}' is too large a number", place or None)


def from_yaml(text: bytes) -> dict[str, Any]:
    """The object in YAML, as JSON would have it: no anchors, tags, dates, or names twice.

    Raises MalformedBody, with line and column where there is one; InvalidRequest.
    """
    if len(text) > LONGEST_YAML:
        raise MalformedBody(f"YAML has at most {LONGEST_YAML} bytes here; JSON may be longer")
    try:
        _require_plain(text)
        document = yaml.load(text, _Loader)  # noqa: S506  # a safe loader, and fewer types
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedBody(f"the body is not plain YAML: {_told(error)}") from error
    if not isinstance(document, dict):
        raise MalformedBody("the body must be a YAML object")
    return document


def _require_plain(text: bytes) -> None:
    """Before anything is built: an alias in an alias is how a kilobyte becomes a gigabyte."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _at(event, "anchors and aliases are not taken")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _at(event, f"more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(event: yaml.Event, problem: str) -> yaml.YAMLError:
    mark: Any = event.start_mark  # the C parser's, which its stubs tell from the other one
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _told(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return str(error)[:200]


class _Loader(yaml.CSafeLoader):
    """JSON's types alone. A date stays the text that it is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  # PyYAML's interface
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the name {str(key.value)[:100]!r} is there twice",
                    problem_mark=key.start_mark,
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep=True)


_SCALARS = {
    "null": (r"null|Null|NULL|~|", ("~", "n", "N", "")),
    "bool": (r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    "int": (r"-?(?:0|[1-9][0-9]*)", tuple("-0123456789")),
    "float": (
        r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?",
        tuple("-0123456789"),
    ),
}
"""As YAML 1.2's core schema: `yes`, `010`, `1:30` and dates are texts."""
_TYPES = {f"tag:yaml.org,2002:{kind}" for kind in (*_SCALARS, "str", "seq", "map")}
_Loader.yaml_implicit_resolvers = {}
for _kind, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.CSafeLoader.yaml_constructors.items()
    if tag is None or tag in _TYPES
}
