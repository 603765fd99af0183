"""Trials: whether two queries give the same rows, on rows that are made up.

Place in the path: before a rewritten query is offered. Both run on a SQLite database in memory that
is filled from a seed with values near those that the queries compare with, missing ones among them.
Functions that SQLite lacks become arbitrary ones, the same for both. It proves nothing; it finds
rewritings that are wrong. Nobody's rows are involved.
"""

import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from graphs.sql_assist.planner import (
    MOST_STUBS,
    NO_FUNCTION,
    WITHIN_GROUP,
    empty_database,
    in_sqlite,
)
from graphs.sql_assist.tables import Table, Tables

SEEDS = (1, 2, 3)
ROWS = 12
MOST_TABLES = 12
MOST_RESULTS = 20_000
LONGEST_VALUE = 100_000
"""Bytes. Queries can make values, and rows of them, that are far longer than they are."""
NEAR = 4
"""Ids are this small, so that joins find partners."""


def same_rows(one: exp.Expr, other: exp.Expr, tables: Tables) -> bool | None:
    """Whether both give the same rows in every trial; None where they cannot be tried."""
    if len(tables) > MOST_TABLES or _is_partial(one) or _is_partial(other):
        return None
    try:
        queries = [in_sqlite(_whole(query)) for query in (one, other)]
        aggregates = {n.sql_name().lower() for q in (one, other) for n in q.find_all(exp.AggFunc)}
        aggregates.add(WITHIN_GROUP)
        constants = list(_constants(one))
        return all(_agree(queries, tables, constants, aggregates, seed) for seed in SEEDS)
    except (SqlglotError, sqlite3.Error, RecursionError, ValueError, OverflowError):
        return None


def _is_partial(query: exp.Expr) -> bool:
    """Whether it takes some rows of a part, which may be any."""
    return any(limit.parent is not query for limit in query.find_all(exp.Limit, exp.Offset))


def _whole(query: exp.Expr) -> exp.Expr:
    """The query without its own limit: which rows are left is open where the order is."""
    copy = query.copy()
    for part in ("limit", "offset", "order"):
        copy.set(part, None)
    return copy


def _agree(
    queries: list[str], tables: Tables, constants: list[Any], aggregates: set[str], seed: int
) -> bool:
    with closing(empty_database(tables)) as memory:
        for table in tables:
            _fill(memory, table, constants, random.Random(f"{seed} {table.name}"))  # noqa: S311
        memory.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        results = [_rows(memory, sql, aggregates) for sql in queries]
    return results[0] == results[1]


def _constants(query: exp.Expr) -> Iterator[Any]:
    """Values that the query compares with."""
    for literal in query.find_all(exp.Literal):
        if literal.is_string:
            yield literal.name
        elif literal.is_int:
            yield int(literal.name)


def _fill(
    memory: sqlite3.Connection, table: Table, constants: list[Any], rng: random.Random
) -> None:
    marks = ", ".join("?" for _ in table.columns)
    name = table.name.replace('"', '""')
    for row in range(ROWS):
        values = []
        for column in table.columns:
            pool: list[Any] = list(column.values) or [*range(1, NEAR + 1), *constants]
            if column.name in table.primary_key and len(table.primary_key) == 1:
                pool = [row + 1]
            elif column.nullable:
                pool.append(None)
            values.append(rng.choice(pool))
        memory.execute(f'INSERT OR IGNORE INTO "{name}" VALUES ({marks})', values)  # noqa: S608 - our own names, quoted


def _rows(memory: sqlite3.Connection, sql: str, aggregates: set[str]) -> Counter[int]:
    """How often each row came, by its hash: the rows themselves could fill the memory."""
    for _ in range(MOST_STUBS):
        try:
            return Counter(map(hash, islice(memory.execute(sql), MOST_RESULTS)))
        except sqlite3.OperationalError as error:
            missing = NO_FUNCTION.search(str(error))
            if missing is None or missing.group(1).lower() in aggregates:
                raise
            memory.create_function(missing.group(1), -1, _Arbitrary(missing.group(1)))
    raise ValueError("too many functions")


class _Arbitrary:
    """A function of which nothing is known but that it always answers the same."""

    def __init__(self, name: str) -> None:
        self._name = name.lower()

    def __call__(self, *values: Any) -> str:
        return hashlib.sha256(repr((self._name, values)).encode()).hexdigest()[:8]
