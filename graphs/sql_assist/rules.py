"""Rules: what is wrong, or suspicious, in a statement whose names are right.

Place in the path: after syntax and names. It tells functions that do not exist and values that a
column cannot have. It does not judge whether a query answers its question.
"""

from collections.abc import Iterator

from sqlglot import exp

from graphs.sql_assist.faults import Fault, at_node
from graphs.sql_assist.tables import Column, Tables, closest

UNKNOWN_FUNCTION = "unknown_function"
WRONG_TYPE = "wrong_type"
MOST_NAMED = 12
COMMON_FUNCTIONS = (
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "round",
    "coalesce",
    "lower",
    "upper",
    "length",
    "substring",
    "concat",
    "extract",
    "date_trunc",
    "current_date",
    "now",
    "row_number",
    "string_agg",
)
LENIENT = ("mysql", "sqlite")
"""Dialects that turn a text into a number without complaint."""
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def check_functions(tree: exp.Expr, text: str) -> Iterator[Fault]:
    """Calls of what is certainly a misspelt common function."""
    for function in tree.find_all(exp.Anonymous):
        guess = closest(function.name, COMMON_FUNCTIONS)
        if guess == function.name.lower():
            continue  # the parser knows it only where nothing stands before it
        if guess and abs(len(guess) - len(function.name)) <= 1:
            message = f"there is no function '{function.name}'; did you mean '{guess.upper()}'?"
            yield at_node(UNKNOWN_FUNCTION, message, text, function, guess.upper())


def unknown_functions(tree: exp.Expr) -> Iterator[str]:
    """Warnings of functions that nothing here knows; they may be the database's own."""
    names = {function.name for function in tree.find_all(exp.Anonymous)}
    for name in sorted(names):
        yield f"the function '{name}' is not known here; it was not checked"


def check_values(tree: exp.Expr, tables: Tables) -> Iterator[tuple[bool, str]]:
    """Values that a column cannot have: whether it is a fault of types, and the message."""
    sources = list(tree.find_all(exp.Table))
    meant: dict[str, Column | None] = {}
    for column, value in _compared(tree):
        name = column.sql()
        if name not in meant:
            meant[name] = _column(column, sources, tables)
        known = meant[name]
        if known is None or not value.is_string:
            continue
        if known.values and value.name not in known.values:
            guess = closest(value.name, known.values)
            only = ", ".join(known.values[:MOST_NAMED])
            hint = f"; did you mean '{guess}'?" if guess else f", only: {only}"
            yield False, f"'{known.name}' is never '{value.name[:60]}'{hint}"
        elif _is_number(known) and not _reads_as_number(value.name):
            kind = f"'{known.name}' is a number ({known.type})"
            yield True, f"{kind}, and '{value.name[:60]}' is none"


def _compared(tree: exp.Expr) -> Iterator[tuple[exp.Column, exp.Literal]]:
    for node in tree.find_all(*COMPARISONS):
        for one, other in ((node.this, node.expression), (node.expression, node.this)):
            if isinstance(one, exp.Column) and isinstance(other, exp.Literal):
                yield one, other
    for within in tree.find_all(exp.In):
        if isinstance(within.this, exp.Column):
            yield from (
                (within.this, each) for each in within.expressions if isinstance(each, exp.Literal)
            )


def _column(column: exp.Column, sources: list[exp.Table], tables: Tables) -> Column | None:
    """The schema's column that is meant, where only one table of the statement can be."""
    found = []
    for table in sources:
        known = tables.get(table.name)
        if known and column.table.casefold() in ("", table.alias_or_name.casefold()):
            found.append(known.column(column.name))
    certain = {id(each): each for each in found if each is not None}
    return next(iter(certain.values())) if len(certain) == 1 else None


def _is_number(column: Column) -> bool:
    return bool(column.type) and exp.DataType.build(column.type, udt=True).this in NUMBERS


NUMBERS = exp.DataType.NUMERIC_TYPES


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
