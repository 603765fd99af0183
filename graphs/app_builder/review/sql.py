"""Rules for SQL, over sqlglot's syntax tree.

Place in the path: inside a review. Nothing is run.
"""

from collections.abc import Iterator
from typing import Any

from graphs.app_builder.review.findings import Finding, Severity


def findings(path: str, text: str) -> Iterator[Finding]:
    """What the rules say of every statement; nothing of a file that cannot be parsed."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    from graphs.sql_assist.statement import too_chained

    try:
        if too_chained(text, sqlglot.tokenize(text)):
            return
        statements = sqlglot.parse(text)
    except (SqlglotError, RecursionError):
        return
    for statement in statements:
        if isinstance(statement, exp.Delete | exp.Update) and statement.args.get("where") is None:
            what = "DELETE" if isinstance(statement, exp.Delete) else "UPDATE"
            message = f"{what} without WHERE touches every row"
            yield Finding("no-where", Severity.HIGH, path, _line(statement), 1, message)
        if isinstance(statement, exp.Select) and any(
            isinstance(e, exp.Star) for e in statement.expressions
        ):
            message = "SELECT * changes with the table: name the columns"
            yield Finding("select-star", Severity.INFO, path, _line(statement), 1, message)


def _line(statement: Any) -> int:
    """The first line that a part of the statement says it is on; 0 when none does."""
    return next((int(node.meta["line"]) for node in statement.walk() if "line" in node.meta), 0)
