"""Usual mistakes are cured by code, and what is changed is said."""

import random

import pytest

from graphs.sql_assist.repair import repair
from models.starter_chat.sql_broken import broken
from models.starter_chat.sql_query import draw_query
from tests.graphs.sql.starter import checked, tables

DRAWN = 60


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("SELEC * FORM users WHER plan = 'pro'", "SELECT * FROM users WHERE plan = 'pro'"),
        ("SELECT nme, contry FROM user", "SELECT name, country FROM users"),
        ("SELECT COUNT(* FROM users", "SELECT COUNT(*) FROM users"),
        ("SELECT COUNT(*)) FROM users", "SELECT COUNT(*) FROM users"),
        ("SELECT name FROM users ORDER name", "SELECT name FROM users ORDER BY name"),
        ("SELECT name,, email, FROM users", "SELECT name, email FROM users"),
        ("SELECT * FROM users WHERE id == 3", "SELECT * FROM users WHERE id = 3"),
        ("SELECT * FROM users WHERE plan = 'pro", "SELECT * FROM users WHERE plan = 'pro'"),
        ('SELECT * FROM users WHERE plan = "pro"', "SELECT * FROM users WHERE plan = 'pro'"),
        ("SELECT TOP 5 * FROM users", "SELECT * FROM users LIMIT 5"),
        ("SELECT `name` FROM users", 'SELECT "name" FROM users'),
        ("SELECT CONT(*) FROM users", "SELECT COUNT(*) FROM users"),
        ("SELECT COUNT(*) users", "SELECT COUNT(*) FROM users"),
        (
            "SELECT plan, COUNT(*) FROM users",
            "SELECT plan, COUNT(*) FROM users GROUP BY plan",
        ),
        ("```sql\nSELECT id FROM users\n```", "SELECT id FROM users"),
        ("SELECT id FROM users WHERE id = 1\u00a0", "SELECT id FROM users WHERE id = 1"),
    ],
)  # fmt: skip
def test_a_usual_mistake_is_cured(wrong, right):
    found = repair(wrong, "postgres", tables())
    assert found.checked.statements.sql() == right
    assert found.checked.valid


def test_what_was_changed_is_said():
    found = repair("SELEC nme FROM users", "postgres", tables())
    assert found.done == ["'SELEC' is SELECT", "'nme' is 'name'"]


@pytest.mark.parametrize(
    "text", ["please make me a sandwich", "SELECT FROM WHERE", "SELECT zzz FROM users", "((((", "'"]
)
def test_what_has_no_cure_stays_invalid(text):
    assert not repair(text, "postgres", tables()).checked.valid


def test_the_mistakes_that_the_starter_model_was_trained_on_are_cured_by_code():
    rng = random.Random(20)
    cured = 0
    for _ in range(DRAWN):
        sql = draw_query(rng).sql()
        found = repair(broken(sql, rng), "postgres", tables()).checked
        cured += found.valid and found.statements.sql() == checked(sql).statements.sql()
    assert cured / DRAWN >= 0.95
