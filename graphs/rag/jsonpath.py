"""Filters as PostgreSQL's jsonpath: one parameter, whatever a filter says.

Place in the path: under the PostgreSQL store. A path is a value, not SQL; each text in it is
written as JSON, so nothing that a caller wrote can be read as anything but text.
"""

import json

from core.filters import AnyFilter, Combined, Compare, Equals, In

SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
JOINTS = {"and": " && ", "or": " || "}


def jsonpath(filter_: AnyFilter) -> str:
    """A predicate over metadata, for the operator `@@`. Its paths look into lists by themselves."""
    match filter_:
        case Equals(key=key, value=value):
            return f"$.{json.dumps(key)} == {json.dumps(value)}"
        case In(key=key, value=values):
            equal = (f"$.{json.dumps(key)} == {json.dumps(value)}" for value in values)
            return f"({' || '.join(equal)})"
        case Compare(type=type_, key=key, value=value):
            return f"$.{json.dumps(key)} {SIGNS[type_]} {json.dumps(value)}"
        case Combined(type=type_, filters=filters):
            return f"({JOINTS[type_].join(jsonpath(each) for each in filters)})"
