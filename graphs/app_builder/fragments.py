"""Fragments that the files of both frameworks have in common: tables of fields as JavaScript.

Place in the path: inside the app builder, between a plan and the templates.
"""

import json
from typing import Any

from graphs.app_builder.naming import pascal
from graphs.app_builder.plan import Entity, Plan, PlanField, ViewKind

NUMBERS = ("integer", "number", "money")
HIDDEN_IN_TABLES = ("long_text", "password")
MOST_COLUMNS = 6
INPUT_TYPES = {
    "text": "text",
    "password": "password",
    "email": "email",
    "phone": "tel",
    "url": "url",
    "date": "date",
    "datetime": "datetime-local",
    "integer": "number",
    "number": "number",
    "money": "number",
}
KINDS: dict[ViewKind, str] = {
    "table": "Table",
    "list": "List",
    "form": "Form",
    "detail": "Detail",
    "dashboard": "Dashboard",
}


def component_of(entity: Entity, kind: ViewKind) -> str:
    """What the component that shows an entity in one way is called."""
    return pascal(entity.name) + KINDS[kind]


def shown_fields(entity: Entity) -> list[PlanField]:
    """The fields that fit in a table, the one that stands for the row first."""
    fitting = [field for field in entity.fields if field.type not in HIDDEN_IN_TABLES]
    fitting = fitting or list(entity.fields)
    rest = [field for field in fitting if field != entity.heading]
    return [entity.heading, *rest][:MOST_COLUMNS]


def references(entity: Entity) -> list[PlanField]:
    """The fields that name another entity."""
    return [field for field in entity.fields if field.references is not None]


def columns(entity: Entity) -> str:
    """`COLUMNS` of a table or a list."""
    return "\n".join(_literal(_column(field)) + "," for field in shown_fields(entity))


def fields(entity: Entity) -> str:
    """`FIELDS` of a form."""
    return "\n".join(_literal(_field(field)) + "," for field in entity.fields)


def empty(entity: Entity) -> str:
    """`EMPTY` of a form: what a new row begins with."""
    return "\n".join(f"{field.name}: {_empty(field)}," for field in entity.fields)


def dashboard_tables(plan: Plan) -> str:
    """`TABLES` of a dashboard: what is counted, summed up and spread."""
    return "\n".join(_literal(_table(entity)) + "," for entity in plan.entities)


def input_id(entity: Entity, field: PlanField) -> str:
    """The id that ties a label to its input."""
    return f"{entity.name}-{field.name}".replace("_", "-")


def step(field: PlanField) -> str:
    """What numbers count in."""
    return {"integer": "1", "money": "0.01"}.get(field.type, "any")


def _column(field: PlanField) -> dict[str, Any]:
    column: dict[str, Any] = {"name": field.name, "label": field.label, "type": field.type}
    if field.references is not None:
        column["references"] = field.references
    if field.type in NUMBERS:
        column["isNumber"] = True
    return column


def _field(field: PlanField) -> dict[str, Any]:
    told: dict[str, Any] = {"name": field.name, "label": field.label, "type": field.type}
    return told | ({"required": True} if field.required else {})


def _table(entity: Entity) -> dict[str, Any]:
    return {
        "name": entity.plural,
        "label": entity.plural_label,
        "sums": [_field(field) for field in entity.fields if field.type == "money"],
        "spreads": [
            _field(field) for field in entity.fields if field.type in ("choice", "boolean")
        ],
    }


def _empty(field: PlanField) -> str:
    if field.type == "boolean":
        return "false"
    return json.dumps(field.choices[0]) if field.type == "choice" else '""'


def _literal(value: Any) -> str:
    """A value as JavaScript, names without quotes: `{ name: "title", type: "text" }`."""
    if isinstance(value, dict):
        pairs = (f"{name}: {_literal(each)}" for name, each in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
