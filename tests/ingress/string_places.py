"""Where a JSON schema takes a string, and a small good value of it.

For tests that try values in every such place. It knows what pydantic writes, and no more.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

Schema = dict[str, Any]
Place = tuple[str | int, ...]
"""Keys and indexes from the body to a value in it."""
DEEPEST = 4
OTHER = "a"
"""A key that a type does not name, where it takes any."""
MOMENT = "2127-01-31T00:00:00Z"


class Schemas:
    """Types of requests, as an OpenAPI document has them."""

    def __init__(self, document: Schema) -> None:
        self._schemas = document["components"]["schemas"]

    def places(self, name: str) -> Iterator[Place]:
        """Every place of the type where a string, or anything, may be."""
        yield from self._places(self._schemas[name], ())

    def good(self, name: str) -> Any:
        """A body with what the type needs, and nothing else."""
        return self._good(self._schemas[name])

    def filled(self, name: str, body: Any, place: Place, value: Any) -> Any:
        """`body` with `value` at `place`; what lies on the way is made."""
        return self._filled(self._schemas[name], deepcopy(body), place, value)

    def _places(self, schema: Schema, place: Place) -> Iterator[Place]:
        found = list(self._kinds(schema))
        if any(_takes_strings(kind) for kind in found):
            yield place
        if len(place) >= DEEPEST:
            return
        inner: dict[Place, None] = {}
        for kind in found:
            for key, child in kind.get("properties", {}).items():
                inner |= dict.fromkeys(self._places(child, (*place, key)))
            if isinstance(kind.get("items"), dict):
                inner |= dict.fromkeys(self._places(kind["items"], (*place, 0)))
            if isinstance(kind.get("additionalProperties"), dict):
                inner |= dict.fromkeys(self._places(kind["additionalProperties"], (*place, OTHER)))
        yield from inner

    def _kinds(self, schema: Schema) -> Iterator[Schema]:
        """The types that a value may have: references followed, unions taken apart."""
        if "$ref" in schema:
            yield from self._kinds(self._schemas[schema["$ref"].rpartition("/")[2]])
            return
        parts = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        for part in parts:
            yield from self._kinds(part)
        if not parts:
            yield schema

    def _good(self, schema: Schema) -> Any:
        kind = next((k for k in self._kinds(schema) if k.get("type") != "null"), {})
        if "const" in kind or "enum" in kind:
            return kind.get("const", kind.get("enum", [None])[0])
        if kind.get("type") == "object":
            needed, properties = kind.get("required", ()), kind.get("properties", {})
            return {key: self._good(properties[key]) for key in needed if key in properties}
        if kind.get("type") == "array":
            return [self._good(kind.get("items", {}))] * max(1, kind.get("minItems", 1))
        return _simple(kind)

    def _filled(self, schema: Schema, body: Any, place: Place, value: Any) -> Any:
        if not place:
            return value
        for kind in self._kinds(schema):
            child = _child(kind, place[0])
            if child is not None and self._leads(child, place[1:]):
                return self._set(kind, child, body, place, value)
        raise LookupError(f"there is no {place}")

    def _set(self, kind: Schema, child: Schema, body: Any, place: Place, value: Any) -> Any:
        key, rest = place[0], place[1:]
        if isinstance(key, int):
            items = body if isinstance(body, list) and body else [self._good(child)]
            return [self._filled(child, items[0], rest, value), *items[1:]]
        whole = body if isinstance(body, dict) else self._good(kind)
        before = whole[key] if key in whole else self._good(child)
        return whole | {key: self._filled(child, before, rest, value)}

    def _leads(self, schema: Schema, place: Place) -> bool:
        if not place:
            return True
        children = (_child(kind, place[0]) for kind in self._kinds(schema))
        return any(child is not None and self._leads(child, place[1:]) for child in children)


def _child(kind: Schema, key: str | int) -> Schema | None:
    """The schema of what is at `key`, if anything may be."""
    if isinstance(key, int):
        found = kind.get("items")
    else:
        found = kind.get("properties", {}).get(key)
        if found is None and key == OTHER:
            found = kind.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _simple(kind: Schema) -> Any:
    if kind.get("type") in ("integer", "number"):
        return kind.get("minimum", kind.get("exclusiveMinimum", 0) + 1)
    if kind.get("type") == "boolean":
        return False
    if kind.get("format") == "date-time":
        return MOMENT
    return "x" * max(5, kind.get("minLength", 1))


def _takes_strings(kind: Schema) -> bool:
    """Whether a string, or anything at all, or any object, is taken."""
    if "enum" in kind or "const" in kind or kind.get("format") in ("date-time", "binary"):
        return False
    anything = not kind.keys() & {"type", "properties", "items"}
    free = kind.get("type") == "object" and kind.get("additionalProperties") is True
    return kind.get("type") == "string" or anything or free
