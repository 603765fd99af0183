"""Question families that need more than one table, an id, or a sentence of their own.

The families are in ``sql_joins.yaml``; here their slots are filled, in question and SQL alike.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from models.starter_chat import HERE
from models.starter_chat.sql_domain import BY_NAME, CATEGORIES, COUNTRIES
from models.starter_chat.sql_query import draw_number, draw_window
from models.starter_chat.sql_windows import NUMBER_WORDS, number_text, window_text

Slots = dict[str, str]


@dataclass(frozen=True)
class Family:
    """``questions`` and ``sql`` share slots: n, country, category, status, window, child."""

    name: str
    questions: tuple[str, ...]
    sql: str
    weight: int


def _families() -> tuple[Family, ...]:
    table: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "sql_joins.yaml").read_text())
    return tuple(
        Family(name, tuple(row["questions"]), row["sql"], row["weight"])
        for name, row in table.items()
    )


FAMILIES = _families()


def draw_join(rng: random.Random) -> tuple[Family, str, str, bool]:
    """(family, question, SQL, whether the SQL has free fillings)."""
    family = rng.choices(FAMILIES, [f.weight for f in FAMILIES])[0]
    question, sql = rng.choice(family.questions), family.sql
    for slot, fill in _SLOTS.items():
        if "{" + slot + "}" in question:
            question, sql = fill(rng, question, sql)
    return family, question, sql, sql != family.sql


def _fill_number(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    number = draw_number(rng)
    text = number_text(number, rng) if NUMBER_WORDS.get(number) else str(number)
    return question.replace("{n}", text), sql.replace("{n}", str(number))


def _fill_country(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    value = rng.choice(list(COUNTRIES))
    question = question.replace("{country}", rng.choice(COUNTRIES[value]))
    return question, sql.replace("{country_sql}", value)


def _fill_window(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    window = draw_window(rng, "created_at")
    joined = draw_window_sql(window.sql(), "o.created_at")
    sql = sql.replace("{window_sql:o}", joined).replace("{window_sql}", window.sql())
    return question.replace("{window}", window_text(window, rng)), sql


def draw_window_sql(sql: str, column: str) -> str:
    return sql.replace("created_at", column)


def _fill_both(
    slot: str, values: tuple[str, ...]
) -> Callable[[random.Random, str, str], tuple[str, str]]:
    def fill(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
        value, mark = rng.choice(values), "{" + slot + "}"
        return question.replace(mark, value), sql.replace(mark, value)

    return fill


def _fill_child(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    table = rng.choice([t for t in BY_NAME.values() if t.owner])
    return question.replace("{child}", rng.choice(table.nouns)), sql.replace(
        "{child_sql}", table.name
    )


def _fill_one(rng: random.Random, question: str, sql: str) -> tuple[str, str]:
    names = {
        "user": "users",
        "order": "orders",
        "product": "products",
        "ticket": "tickets",
        "invoice": "invoices",
        "payment": "payments",
        "subscription": "subscriptions",
        "review": "reviews",
        "customer": "users",
        "category": "categories",
    }
    word = rng.choice(list(names))
    return question.replace("{one}", word), sql.replace("{one_sql}", names[word])


_SLOTS: dict[str, Callable[[random.Random, str, str], tuple[str, str]]] = {
    "n": _fill_number,
    "country": _fill_country,
    "window": _fill_window,
    "category": _fill_both("category", CATEGORIES),
    "status": _fill_both("status", ("open", "pending", "closed")),
    "plan": _fill_both("plan", ("free", "pro", "enterprise")),
    "child": _fill_child,
    "one": _fill_one,
}
