"""A caller's schema, from whatever form it came in, as tables.

Place in the path: before anything else of a call. CREATE TABLE and CREATE INDEX statements are
read, keys that ALTER TABLE adds too, and other statements of a dump are passed over; nothing is
executed. Lines like `users(id, email)` and JSON give the same tables.
"""

import re
from collections import Counter
from collections.abc import Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from core.errors import InvalidRequest
from core.sql import MAX_COLUMNS, MAX_TABLES, ColumnShape, SchemaShape, TableShape
from graphs.sql_assist.statement import located, too_chained
from graphs.sql_assist.tables import Column, Index, Reference, Table, Tables

CREATES = re.compile(r"\bcreate\b", re.IGNORECASE)
LINE = re.compile(r"\s*([^\s(),;]+)\s*\(")
BETWEEN_LINES = re.compile(r"[\s,;]*")


def read_schema(schema: str | SchemaShape | None, dialect: str) -> Tables:
    """The tables of `schema`; none when it is not given.

    Raises InvalidRequest naming the place in the field `schema`.
    """
    if schema is None:
        return Tables()
    try:
        tables = _read(schema, dialect)
    except RecursionError as error:
        raise _refusal("it is nested too deeply") from error
    _check(tables)
    return Tables(tables)


def _read(schema: str | SchemaShape, dialect: str) -> list[Table]:
    if isinstance(schema, SchemaShape):
        return [_from_shape(table, dialect) for table in schema.tables]
    if CREATES.search(schema):
        return _from_statements(schema, dialect)
    return list(_from_lines(schema, dialect))


def _check(tables: list[Table]) -> None:
    if not tables:
        raise _refusal("it has no tables: give CREATE TABLE statements, or lines like users(id)")
    if len(tables) > MAX_TABLES:
        raise _refusal(f"at most {MAX_TABLES} tables, got {len(tables)}")
    seen: set[str] = set()
    for table in tables:
        if table.name.casefold() in seen:
            raise _refusal(f"the table '{table.name}' is there twice")
        seen.add(table.name.casefold())
        names = [column.name.casefold() for column in table.columns]
        if not names or len(names) > MAX_COLUMNS:
            raise _refusal(f"the table '{table.name}' must have 1 to {MAX_COLUMNS} columns")
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise _refusal(f"the table '{table.name}' has two columns '{twice}'")


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for 'schema': {message}", "schema")


def _from_statements(text: str, dialect: str) -> list[Table]:
    try:
        if fault := too_chained(text, sqlglot.tokenize(text, dialect=dialect)):
            raise _refusal(str(fault))
        statements = sqlglot.parse(text, dialect=dialect)
    except SqlglotError as error:
        raise _refusal(str(located(error, text))) from error
    tables = [
        _created(statement, dialect)
        for statement in statements
        if isinstance(statement, exp.Create)
        and statement.kind == "TABLE"
        and isinstance(statement.this, exp.Schema)
    ]
    by_name = Tables(tables)
    for statement in statements:
        _add_later_keys(statement, by_name)
    return tables


def _add_later_keys(statement: exp.Expr | None, tables: Tables) -> None:
    """What CREATE INDEX and ALTER TABLE say about tables that were created before."""
    if isinstance(statement, exp.Create) and isinstance(statement.this, exp.Index):
        target = statement.this.args.get("table")
        table = tables.get(target.name) if target else None
        parameters = statement.this.args.get("params")
        columns = parameters.args.get("columns") if parameters else None
        plain = [each.this for each in columns or () if isinstance(each.this, exp.Column)]
        if table is not None and columns and len(plain) == len(columns):
            names = tuple(column.name for column in plain)
            table.indexes.append(Index(names, unique=bool(statement.args.get("unique"))))
    elif isinstance(statement, exp.Alter):
        table = tables.get(statement.this.name)
        if table is not None:
            for action in statement.args.get("actions") or ():
                _read_keys(table, action)


def _created(statement: exp.Create, dialect: str) -> Table:
    schema = statement.this
    table = Table(schema.this.name, [])
    closed = dict(_closed_values(schema))
    for part in schema.expressions:
        if isinstance(part, exp.ColumnDef):
            _read_column(table, part, closed, dialect)
        elif isinstance(part, exp.Identifier):
            table.columns.append(Column(part.name, values=closed.get(part.name, ())))
        else:
            _read_keys(table, part)
    return table


def _read_column(
    table: Table, part: exp.ColumnDef, closed: dict[str, tuple[str, ...]], dialect: str
) -> None:
    kinds = [constraint.args.get("kind") for constraint in part.args.get("constraints") or ()]
    primary = any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds)
    required = any(
        isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null")
        for kind in kinds
    )
    if primary:
        table.primary_key = (part.name,)
    for kind in kinds:
        if isinstance(kind, exp.UniqueColumnConstraint):
            table.indexes.append(Index((part.name,), unique=True))
        elif isinstance(kind, exp.Reference):
            table.references += _references([part.name], kind)
    type_ = part.args.get("kind")
    values = closed.get(part.name, ())
    if isinstance(type_, exp.DataType) and type_.is_type("enum"):
        values = tuple(each.name for each in type_.expressions)
    written = "" if type_ is None else type_.sql(dialect)
    table.columns.append(
        Column(part.name, written, nullable=not (primary or required), values=values)
    )


def _read_keys(table: Table, part: exp.Expr) -> None:
    """The keys that a line of a table, or of ALTER TABLE, declares."""
    for primary in part.find_all(exp.PrimaryKey):
        table.primary_key = tuple(each.name for each in primary.expressions)
    for unique in part.find_all(exp.UniqueColumnConstraint):
        if isinstance(unique.this, exp.Schema):
            names = tuple(each.name for each in unique.this.expressions)
            table.indexes.append(Index(names, unique=True))
    for foreign in part.find_all(exp.ForeignKey):
        reference = foreign.args.get("reference")
        if reference is not None:
            table.references += _references([each.name for each in foreign.expressions], reference)


def _references(columns: list[str], reference: exp.Expr) -> list[Reference]:
    target = reference.this
    named = [each.name for each in target.expressions] if isinstance(target, exp.Schema) else []
    table = target.this.name if isinstance(target, exp.Schema) else target.name
    named = named or [""] * len(columns)
    pairs = zip(columns, named, strict=False)
    return [Reference(column, table, to) for column, to in pairs]


def _closed_values(schema: exp.Schema) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Columns that a CHECK (... IN (...)) closes."""
    for check in schema.find_all(exp.CheckColumnConstraint):
        within = check.this.unnest()
        if isinstance(within, exp.In) and isinstance(within.this, exp.Column):
            values = within.expressions
            if values and all(isinstance(v, exp.Literal) and v.is_string for v in values):
                yield within.this.name, tuple(value.name for value in values)


def _from_lines(text: str, dialect: str) -> Iterator[Table]:
    """Tables from `name(column, column type, ...)`, one after the other."""
    place = _skip(text, 0)
    while place < len(text):
        found = LINE.match(text, place)
        end = _closing(text, found.end()) if found else None
        if found is None or end is None:
            line = text.count("\n", 0, place) + 1
            raise _refusal(
                f"line {line} is neither a CREATE statement nor of the form users(id, email)"
            )
        name = found.group(1).rpartition(".")[2].strip('"`[]')
        columns = [_column_of_line(part, name, dialect) for part in _parts(text[found.end() : end])]
        yield Table(name, columns)
        place = _skip(text, end + 1)


def _skip(text: str, place: int) -> int:
    found = BETWEEN_LINES.match(text, place)
    return found.end() if found else place


def _closing(text: str, place: int) -> int | None:
    """Where the bracket closes that opened before `place`."""
    depth = 1
    for offset in range(place, len(text)):
        depth += {"(": 1, ")": -1}.get(text[offset], 0)
        if depth == 0:
            return offset
    return None


def _parts(text: str) -> list[str]:
    """Split at the commas that no bracket encloses."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _column_of_line(text: str, table: str, dialect: str) -> Column:
    name, _, kind = text.partition(" ")
    name = name.rstrip(":").strip('"`[]')
    if not name:
        raise _refusal(f"the table '{table}' has a column without a name")
    return Column(name, _type(kind.strip(), f"{table}.{name}", dialect))


def _type(written: str, place: str, dialect: str) -> str:
    if not written:
        return ""
    try:
        return exp.DataType.build(written, dialect=dialect, udt=True).sql(dialect)
    except (SqlglotError, ValueError) as error:
        raise _refusal(f"'{written[:80]}' is no type, in {place}") from error


def _from_shape(shape: TableShape, dialect: str) -> Table:
    return Table(
        shape.name,
        [
            Column(
                column.name,
                _type(column.type, f"{shape.name}.{column.name}", dialect),
                nullable=column.nullable and not column.primary_key,
                values=tuple(column.values or ()),
            )
            for column in shape.columns
        ],
        tuple(column.name for column in shape.columns if column.primary_key),
        [Index(tuple(index.columns), index.unique) for index in shape.indexes]
        + [Index((column.name,), unique=True) for column in shape.columns if column.unique],
        [_reference(column) for column in shape.columns if column.references],
    )


def _reference(column: ColumnShape) -> Reference:
    table, _, to = (column.references or "").partition(".")
    return Reference(column.name, table, to)
