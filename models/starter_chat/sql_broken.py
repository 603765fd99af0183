"""Reading SQL: what a query asks in English, and queries with one mistake to repair."""

import random
from collections.abc import Sequence
from typing import TypeVar

from models.starter_chat.sql_english import phrase
from models.starter_chat.sql_query import Query, in_order

T = TypeVar("T")
_MISSPELT = (
    ("SELECT", "SELEC"),
    ("SELECT", "SELCT"),
    ("FROM", "FORM"),
    ("WHERE", "WHER"),
    ("WHERE", "WEHRE"),
    ("ORDER BY", "ORDER"),
    ("GROUP BY", "GROUP"),
    ("LIMIT", "LIMT"),
    ("INTERVAL", "INTERVALL"),
    ("FROM ", ""),
    ("NOW()", "NOW("),
    ("COUNT(*)", "COUNT(*"),
    ("COUNT(*)", "CONT(*)"),
    (" = '", " == '"),
    ("';", ";"),
    (" AND ", " "),
    ("DESC", "DSC"),
)


class _First(random.Random):
    """Always the first wording: the plain one."""

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[0]

    def random(self) -> float:
        return 0.99


def explained(query: Query) -> str:
    """The query in words, always the same words, its conditions in the order of the SQL."""
    return f"This query answers: {phrase(in_order(query), _First())}."


def broken(sql: str, rng: random.Random) -> str:
    """``sql`` with one mistake, or in lower case."""
    able = [(right, wrong) for right, wrong in _MISSPELT if right in sql]
    right, wrong = rng.choice(able)
    worse = sql.replace(right, wrong, 1)
    return worse.lower() if rng.random() < 0.15 and "'" not in sql else worse
