"""Weaviate's queries as text: GraphQL with every value written as a literal.

Place in the path: under the Weaviate store. Text becomes a GraphQL string, quoted and escaped, so
nothing that a caller wrote can be read as anything but text. The same conditions, as JSON, are what
its REST calls take.
"""

import json
from collections.abc import Collection
from typing import Any, TypeAlias

from core.filters import AnyFilter, Combined, Compare, Equals, In, Scalar
from graphs.rag.facets import NUMBER, alternatives, facet_name

Where: TypeAlias = dict[str, Any]
SIGNS = {
    "gt": "GreaterThan",
    "gte": "GreaterThanEqual",
    "lt": "LessThan",
    "lte": "LessThanEqual",
}
JOINTS = {"and": "And", "or": "Or"}
NEVER: Where = {"path": ["position"], "operator": "LessThan", "valueInt": 0}
"""Instead of a condition on a property that no passage has, which Weaviate calls an error."""
RETURNED = "document position text metadata"


def where(filter_: AnyFilter, properties: Collection[str]) -> Where:
    """A filter as a condition.

    Args:
        filter_: on metadata.
        properties: names of the properties that there are.
    """
    match filter_:
        case Equals(key=key, value=value):
            return _compare(facet_name(key, value), "Equal", value, properties)
        case In():
            return _join("Or", [where(each, properties) for each in alternatives(filter_)])
        case Compare(type=type_, key=key, value=value):
            return _compare(f"{NUMBER}_{key}", SIGNS[type_], value, properties)
        case Combined(type=type_, filters=filters):
            return _join(JOINTS[type_], [where(each, properties) for each in filters])


def of_document(document: str, first: int) -> Where:
    """A document's passages from a position on."""
    return _join(
        "And",
        [
            {"path": ["document"], "operator": "Equal", "valueText": document},
            {"path": ["position"], "operator": "GreaterThanEqual", "valueInt": first},
        ],
    )


def get(class_: str, tenant: str, limit: int, search: dict[str, Any], where_: Where | None) -> str:
    """A search: `search` is its operator with its arguments, `nearVector` or `bm25`."""
    arguments = {"tenant": tenant, "limit": limit, **search}
    if where_ is not None:
        arguments["where"] = where_
    fields = f"{RETURNED} _additional {{ distance score }}"
    return f"{{ Get {{ {class_}({_fields(arguments)}) {{ {fields} }} }} }}"


def count(class_: str, tenant: str) -> str:
    """How many objects a tenant has."""
    arguments = _fields({"tenant": tenant})
    return f"{{ Aggregate {{ {class_}({arguments}) {{ meta {{ count }} }} }} }}"


def _compare(name: str, operator: str, value: Scalar, properties: Collection[str]) -> Where:
    if name not in properties:
        return NEVER
    return {"path": [name], "operator": operator, _typed(value): value}


def _typed(value: Scalar) -> str:
    if isinstance(value, bool):
        return "valueBoolean"
    return "valueText" if isinstance(value, str) else "valueNumber"


def _join(operator: str, operands: list[Where]) -> Where:
    return operands[0] if len(operands) == 1 else {"operator": operator, "operands": operands}


def _fields(arguments: dict[str, Any]) -> str:
    return ", ".join(
        # The one name whose value is not a literal, and always one of ours.
        f"{name}: {value if name == 'operator' else _literal(value)}"
        for name, value in arguments.items()
    )


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{_fields(value)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(each) for each in value)}]"
    return json.dumps(value, ensure_ascii=False)
