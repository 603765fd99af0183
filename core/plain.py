"""Plain documents: JSON or YAML of strangers, as values that are safe to walk.

Place in the path: step 1, for routes that take documents of any shape. What comes out has a bounded
depth and size, text for keys, no NUL, which PostgreSQL does not keep, and no part that appears
twice: whoever walks it later needs no care.
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


def without_nul(value: Any) -> Any:
    """The same document, less NUL characters in its texts and names: for what models say."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {without_nul(name): without_nul(child) for name, child in value.items()}
    if isinstance(value, list):
        return [without_nul(child) for child in value]
    return value


def _children(part: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for name, child in part.items():
            if not isinstance(name, str):
                raise InvalidRequest(f"'{place}': names must be text, not {name!r}", place or None)
            if "\0" in name:
                raise InvalidRequest(f"'{place}': a name has a NUL character", place or None)
            yield name, child
    elif isinstance(part, list):
        for index, child in enumerate(part):
            yield str(index), child
    elif (fault := _fault(part)) is not None:
        raise InvalidRequest(f"'{place}' {fault}", place or None)


def _fault(leaf: Any) -> str | None:
    """What is wrong with a value that has no parts."""
    if isinstance(leaf, str):
        return "has a NUL character, which cannot be kept" if "\0" in leaf else None
    if isinstance(leaf, float):
        return None if math.isfinite(leaf) else "is not a finite number"
    if isinstance(leaf, int) and not -LARGEST_INTEGER <= leaf < LARGEST_INTEGER:
        return "is too large a number"
    return None


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
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a name is a text, and no list or object",
                    problem_mark=key.start_mark,
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the name {str(key.value)[:100]!r} is there twice",
                    problem_mark=key.start_mark,
                )
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
