"""A plan as a database schema.

Place in the path: inside the app builder; whole apps have one. Every statement is parsed again by
`syntax` before it is given to anybody. Nothing here is run.
"""

from core.apps import Dialect
from graphs.app_builder.plan import Entity, FieldType, Plan, PlanField

COMMON: dict[FieldType, str] = {
    "text": "text",
    "long_text": "text",
    "password": "text",
    "email": "text",
    "phone": "text",
    "url": "text",
    "integer": "integer",
    "number": "double precision",
    "money": "numeric(12, 2)",
    "date": "date",
    "datetime": "timestamp",
    "boolean": "boolean",
    "choice": "text",
}
TYPES: dict[Dialect, dict[FieldType, str]] = {
    "postgresql": COMMON | {"datetime": "timestamptz"},
    "sqlite": COMMON | {"number": "real", "date": "text", "datetime": "text", "boolean": "integer"},
    "mysql": COMMON
    | {
        "text": "varchar(255)",
        "password": "varchar(255)",
        "email": "varchar(255)",
        "phone": "varchar(50)",
        "url": "varchar(2048)",
        "number": "double",
        "datetime": "datetime",
        "choice": "varchar(60)",
    },
}
KEYS: dict[Dialect, tuple[str, str, str]] = {
    "postgresql": ("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bigint", '"'),
    "sqlite": ("integer PRIMARY KEY", "integer", '"'),
    "mysql": ("bigint AUTO_INCREMENT PRIMARY KEY", "bigint", "`"),
}
"""Of a row, of what references it, and the mark around names: many of them are words of SQL."""
HASHED = "{name}_hash"
"""Passwords are never kept: the column is for their hash."""


def schema(plan: Plan, dialect: Dialect) -> str:
    """`CREATE TABLE` of every entity, what is referenced first, then indexes and late keys."""
    statements: list[str] = []
    late: list[str] = []
    made: set[str] = set()
    for entity in _in_order(plan):
        statements.append(_table(plan, entity, dialect, made, late))
        made.add(entity.name)
    for entity in plan.entities:
        statements += [_index(entity, field, dialect) for field in _references(entity)]
    return "\n\n".join([*statements, *late]) + "\n"


def _in_order(plan: Plan) -> list[Entity]:
    """Entities after those that they reference, as far as there is such an order."""
    left, ordered = list(plan.entities), list[Entity]()
    while left:
        names = {entity.name for entity in left}
        free = [
            entity
            for entity in left
            if not {f.references for f in _references(entity)} & (names - {entity.name})
        ]
        following = free or left[:1]
        ordered += following
        left = [entity for entity in left if entity not in following]
    return ordered


def _table(plan: Plan, entity: Entity, dialect: Dialect, made: set[str], late: list[str]) -> str:
    key, _, mark = KEYS[dialect]
    lines = [f"{mark}id{mark} {key}"]
    keys: list[str] = []
    for field in entity.fields:
        lines.append(_column(field, dialect))
        if field.references is None:
            continue
        target = plan.entity(field.references)
        constraint = (
            f"FOREIGN KEY ({mark}{_name(field)}{mark})"
            f" REFERENCES {mark}{target.plural}{mark} ({mark}id{mark})"
        )
        if target.name in made or target == entity or dialect == "sqlite":
            keys.append(constraint)  # SQLite takes a key to a table that is not there yet
        else:
            late.append(f"ALTER TABLE {mark}{entity.plural}{mark} ADD {constraint};")
    body = ",\n".join(f"    {line}" for line in [*lines, *keys])
    return f"CREATE TABLE {mark}{entity.plural}{mark} (\n{body}\n);"


def _column(field: PlanField, dialect: Dialect) -> str:
    _, reference, mark = KEYS[dialect]
    kind = reference if field.references else TYPES[dialect][field.type]
    name = f"{mark}{_name(field)}{mark}"
    needed = " NOT NULL" if field.required or field.type == "boolean" else ""
    usual = f" DEFAULT {'0' if dialect == 'sqlite' else 'false'}" if field.type == "boolean" else ""
    allowed = ", ".join(f"'{choice}'" for choice in field.choices)
    check = f" CHECK ({name} IN ({allowed}))" if allowed else ""
    return f"{name} {kind}{needed}{usual}{check}"


def _index(entity: Entity, field: PlanField, dialect: Dialect) -> str:
    mark = KEYS[dialect][2]
    name = f"{entity.plural}_by_{field.name}"[:60]
    return (
        f"CREATE INDEX {mark}{name}{mark}"
        f" ON {mark}{entity.plural}{mark} ({mark}{_name(field)}{mark});"
    )


def _references(entity: Entity) -> list[PlanField]:
    return [field for field in entity.fields if field.references is not None]


def _name(field: PlanField) -> str:
    if field.type == "password":
        return HASHED.format(name=field.name)
    return f"{field.name}_id" if field.references else field.name
