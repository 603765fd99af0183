"""Rows to begin with: a few for each entity, the same every time.

Place in the path: inside the app builder, for previews and for `seed.js`. They are examples, and
look like it.
"""

from typing import Any

from graphs.app_builder.plan import Entity, Plan, PlanField

ROWS = 4
BY_NAME: dict[str, tuple[str, ...]] = {
    "name": ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra"),
    "author": ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra"),
    "company": ("Northwind", "Contoso", "Fabrikam", "Initech"),
    "city": ("Berlin", "Lisbon", "Oslo", "Turin"),
    "location": ("Berlin", "Lisbon", "Oslo", "Turin"),
    "country": ("Germany", "Portugal", "Norway", "Italy"),
    "address": ("1 Mill Lane", "22 High Street", "7 Harbour Road", "40 Park Avenue"),
    "genre": ("Fiction", "History", "Science", "Travel"),
    "department": ("Sales", "Support", "Engineering", "Finance"),
    "number": ("1001", "1002", "1003", "1004"),
}
PEOPLE = {
    "user",
    "customer",
    "client",
    "contact",
    "employee",
    "student",
    "teacher",
    "patient",
    "doctor",
    "member",
    "person",
    "author",
    "lead",
    "profile",
    "registration",
    "signup",
}
"""Entities whose `name` is a person's."""
BY_TYPE: dict[str, tuple[Any, ...]] = {
    "boolean": (True, False, True, False),
    "integer": (3, 8, 21, 55),
    "number": (1.5, 3.0, 4.5, 5.0),
    "money": (12.5, 80.0, 240.0, 1999.99),
    "date": ("2026-03-02", "2026-04-17", "2026-06-09", "2026-09-30"),
    "datetime": ("2026-03-02T09:30", "2026-04-17T10:30", "2026-06-09T11:30", "2026-09-30T12:30"),
    "email": tuple(f"{name}@example.com" for name in ("ada", "alan", "grace", "edsger")),
    "phone": tuple(f"+49 30 5550 10{number}" for number in range(ROWS)),
    "password": ("",) * ROWS,
}


def rows(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    """A few rows of every entity, by the name of its table."""
    return {
        entity.plural: [_row(plan, entity, index) for index in range(ROWS)]
        for entity in plan.entities
    }


def _row(plan: Plan, entity: Entity, index: int) -> dict[str, Any]:
    values = {field.name: _value(plan, entity, field, index) for field in entity.fields}
    return {"id": f"{entity.name}-{index + 1}"} | values


def _value(plan: Plan, entity: Entity, field: PlanField, index: int) -> Any:
    if field.type in BY_TYPE:
        return BY_TYPE[field.type][index]
    if field.type == "choice":
        return field.choices[index % len(field.choices)]
    if field.references is not None:
        return f"{plan.entity(field.references).name}-{index + 1}"
    if field.type == "url":
        return f"https://example.com/{entity.plural}/{index + 1}"
    if field.type == "long_text":
        return f"Some words about {entity.label.lower()} {index + 1}."
    return _text(entity, field, index)


def _text(entity: Entity, field: PlanField, index: int) -> str:
    is_person = bool(set(entity.name.split("_")) & PEOPLE)
    known = BY_NAME.get(field.name.split("_")[-1])
    if known is not None and (field.name != "name" or is_person):
        return known[index]
    told = entity.label if field == entity.heading else field.label
    return f"{told} {index + 1}"
