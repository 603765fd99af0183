"""Plans: `EXPLAIN QUERY PLAN` of a statement, on an empty SQLite database in memory.

Place in the path: the last check. The database lives for one call, has the schema's tables without
a row, and knows no file: nothing of anybody can be read or changed, and a statement is prepared,
never run. The tables are written from what was read of the schema, not from a caller's text; an
authorizer refuses what no plan needs, and limits and a watchdog end what is too large.

A fault is told only where SQLite's words are about names, counts or the use of aggregates, which
all databases share. Syntax that SQLite alone lacks gives no plan, and no fault.
"""

import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError

from graphs.sql_assist.faults import Fault
from graphs.sql_assist.tables import Index, Tables

PLAN = "plan"
ENGINE = f"SQLite {sqlite3.sqlite_version}, in memory, without rows"
LONGEST_S = 2.0
WATCH_EVERY = 1_000
"""Instructions between looks at the clock."""
MOST_STUBS = 32
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 2_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 2_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 250_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
}
ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
}
"""What preparing a query or a change of rows takes. ATTACH, PRAGMA and tables are not among it."""
REFUSED_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
NO_FUNCTION = re.compile(r"no such function: (\w+)")
EVERYBODYS = re.compile(
    r"no such (table|column)|ambiguous column|misuse of (aggregate|window)|has no column"
    r"|(table|values) .*has \d+ columns|do not have the same number|\d+ values for \d+ columns"
    r"|sub-select returns|row value misused|wrong number of arguments|a GROUP BY clause is required"
    r"|term out of range|circular reference|aggregate functions are not allowed"
)
"""Complaints that are about the statement, not about what SQLite can read."""


@dataclass(slots=True)
class Plan:
    """What came of planning.

    Args:
        steps: SQLite's, each under its parent; empty when there is no plan.
        unplanned: why there is none, when that is no fault.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    fault: Fault | None = None
    unplanned: str | None = None

    def document(self) -> dict[str, Any] | None:
        """As JSON; None when there is no plan."""
        return {"engine": ENGINE, "steps": self.steps} if self.steps else None

    def uses(self, index: str) -> bool:
        """Whether a step looks something up in the index of that name."""
        return any(re.search(rf"\b{re.escape(index)}\b", step["detail"]) for step in self.steps)


def plan(tree: exp.Expr, tables: Tables, more: Sequence[tuple[str, Index]] = ()) -> Plan:
    """The plan of `tree` over `tables`.

    Args:
        more: indexes to try: table and columns. They are called `advice_0`, `advice_1`, ...
    """
    if isinstance(tree, (exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)):
        return Plan(unplanned="statements that make or remove tables have no plan")
    try:
        sql = in_sqlite(tree)
    except (SqlglotError, RecursionError, ValueError) as error:
        return Plan(unplanned=f"it could not be put into SQLite's words: {str(error)[:100]}")
    try:
        with closing(empty_database(tables, more)) as memory:
            return _explained(memory, sql, tree)
    except sqlite3.Error as error:
        return Plan(unplanned=f"the schema could not be put into SQLite: {str(error)[:100]}")


def empty_database(tables: Tables, more: Sequence[tuple[str, Index]] = ()) -> sqlite3.Connection:
    """The schema's tables in memory, guarded: what runs there ends soon and reaches nothing."""
    memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        for limit, value in LIMITS.items():
            memory.setlimit(limit, value)
        for statement in _definitions(tables, more):
            memory.execute(statement)
        until = time.monotonic() + LONGEST_S
        memory.set_progress_handler(lambda: time.monotonic() > until, WATCH_EVERY)
        memory.set_authorizer(_authorize)
    except sqlite3.Error:
        memory.close()
        raise
    return memory


def _authorize(
    action: int, first: str | None, second: str | None, base: str | None, trigger: str | None
) -> int:
    del first, base, trigger
    is_refused = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in REFUSED_FUNCTIONS
    return sqlite3.SQLITE_OK if action in ALLOWED and not is_refused else sqlite3.SQLITE_DENY


def _definitions(tables: Tables, more: Sequence[tuple[str, Index]]) -> list[str]:
    """CREATE statements, every name quoted."""
    made = []
    for table in tables:
        parts = [f"{_quoted(c.name)} {_affinity(c.type)}" for c in table.columns]
        if table.primary_key:
            parts.append(f"PRIMARY KEY ({_list(table.primary_key)})")
        made.append(f"CREATE TABLE {_quoted(table.name)} ({', '.join(parts)})")
        for number, index in enumerate(table.indexes):
            made.append(_index(f"{table.name}_{number}_key", table.name, index))
    made += [_index(f"advice_{number}", table, index) for number, (table, index) in enumerate(more)]
    return made


def _index(name: str, table: str, index: Index) -> str:
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX {_quoted(name)} ON {_quoted(table)} ({_list(index.columns)})"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _affinity(kind: str) -> str:
    """SQLite has five kinds of columns; which of them matters to its choice of indexes."""
    if not kind:
        return ""
    known = exp.DataType.build(kind, udt=True).this
    if known in exp.DataType.INTEGER_TYPES:
        return "INTEGER"
    return "NUMERIC" if known in exp.DataType.NUMERIC_TYPES else "TEXT"


def in_sqlite(tree: exp.Expr) -> str:
    """The statement as SQLite reads it: the same tables, conditions and order; dates as calls.

    Raises SqlglotError for what cannot be said there.
    """
    if tree.find(exp.Rollup, exp.Cube, exp.GroupingSets):
        raise UnsupportedError("it has no groups of groups")  # sqlglot would leave them out
    plain = tree.copy().transform(_plain)
    return plain.sql("sqlite", comments=False, unsupported_level=ErrorLevel.RAISE)


def _plain(node: exp.Expr) -> exp.Expr:
    """What SQLite's syntax lacks, as a call of a function that the planner need not know."""
    if isinstance(node, exp.Interval):
        return exp.Literal.string(node.sql())
    if isinstance(node, (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentDatetime)):
        return exp.Literal.string("2026-01-01")
    if isinstance(node, exp.WithinGroup):
        columns = [column.copy() for column in node.find_all(exp.Column)]
        return exp.Anonymous(this=WITHIN_GROUP, expressions=columns)
    if isinstance(node, (exp.Extract, exp.AtTimeZone)) or (
        isinstance(node, exp.TimeUnit) and isinstance(node, exp.Func)
    ):
        kept = [c for c in node.iter_expressions() if not isinstance(c, (exp.Var, exp.DataType))]
        return exp.Anonymous(this=f"date_{node.key}", expressions=[c.copy() for c in kept])
    if isinstance(node, (exp.Placeholder, exp.Parameter)):
        return exp.Literal.number(1)
    if isinstance(node, exp.Table) and node.db:
        node.set("db", None)
        node.set("catalog", None)
    if isinstance(node, exp.Column) and node.db:
        node.set("db", None)
        node.set("catalog", None)
    return node


def _explained(memory: sqlite3.Connection, sql: str, tree: exp.Expr) -> Plan:
    aggregates = {node.sql_name().lower() for node in tree.find_all(exp.AggFunc)} | {WITHIN_GROUP}
    for _ in range(MOST_STUBS):
        try:
            rows = memory.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
        except sqlite3.OperationalError as error:
            missing = NO_FUNCTION.search(str(error))
            if missing is None:
                return _not_planned(str(error))
            _make(memory, missing.group(1), is_aggregate=missing.group(1).lower() in aggregates)
        except sqlite3.Error as error:
            return _not_planned(str(error))
        else:
            return Plan([{"id": r[0], "parent": r[1], "detail": r[3]} for r in rows] or [NO_TABLE])
    return Plan(unplanned="it calls too many functions that SQLite does not have")


WITHIN_GROUP = "within_group"
NO_TABLE = {"id": 0, "parent": 0, "detail": "NO TABLE IS READ"}


def _make(memory: sqlite3.Connection, name: str, *, is_aggregate: bool) -> None:
    """A function of that name, so that its call can be planned. It is never called."""
    if is_aggregate:
        memory.create_aggregate(name, -1, _Nothing)
    else:
        memory.create_function(name, -1, lambda *_: None)


class _Nothing:
    """An aggregate of no rows."""

    def step(self, *_: Any) -> None:
        """Never called."""

    def finalize(self) -> int:
        """Never called."""
        return 0


def _not_planned(message: str) -> Plan:
    if EVERYBODYS.search(message):
        return Plan(fault=Fault(PLAN, f"EXPLAIN says: {message[:200]}"))
    return Plan(unplanned=f"SQLite, which plans it here, cannot read it: {message[:200]}")
