"""Improved queries give the same rows; advice is what a plan would take."""

import time
import tracemalloc

import pytest

from graphs.sql_assist.advice import advise
from graphs.sql_assist.improve import improve
from graphs.sql_assist.statement import read
from graphs.sql_assist.tables import Tables
from graphs.sql_assist.trial import same_rows
from tests.graphs.sql.starter import checked, tables


def parsed(sql):
    (tree,) = read(sql, "postgres").trees
    return tree


def improved(sql):
    found = improve(parsed(sql), "postgres", tables())
    return found.tree.sql("postgres"), found.done


@pytest.mark.parametrize(
    ("sql", "better"),
    [
        (
            "SELECT * FROM (SELECT * FROM users WHERE 1 = 1) q WHERE q.plan = 'pro'",
            (
                "SELECT id, name, email, country, status, plan, created_at, last_login_at"
                " FROM users WHERE plan = 'pro'"
            ),
        ),
        (
            (
                "WITH a AS (SELECT id, name FROM users), b AS (SELECT id FROM orders)"
                " SELECT name FROM a WHERE id = 3"
            ),
            "SELECT name FROM users WHERE id = 3",
        ),
        (
            "SELECT name FROM users WHERE id = 1 OR id = 2 OR id = 1",
            "SELECT name FROM users WHERE id = 1 OR id = 2",
        ),
        (
            (
                "SELECT u.name FROM users u LEFT JOIN (SELECT DISTINCT user_id FROM orders) o"
                " ON o.user_id = u.id"
            ),
            "SELECT name FROM users AS u",
        ),
    ],
)
def test_what_is_not_needed_goes(sql, better):
    text, done = improved(sql)
    assert text == better
    assert done
    assert checked(text).valid


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT name FROM users WHERE plan = 'pro' AND id > 3 ORDER BY name LIMIT 3",
        "SELECT last_login_at = last_login_at FROM users",
        "SELECT name FROM (SELECT name, RANDOM() AS r FROM users) q WHERE r > 0.5 AND r < 0.6",
        "SELECT id FROM (SELECT id FROM users LIMIT 3) q WHERE id > 2",
        "DELETE FROM users WHERE 1 = 1 AND id = 3",
    ],
)
def test_what_may_not_be_changed_stays(sql):
    text, done = improved(sql)
    assert (text, done) == (parsed(sql).sql("postgres"), [])


def test_a_trial_tells_queries_apart():
    inner = "SELECT u.id FROM users u JOIN orders o ON o.user_id = u.id"
    left = "SELECT u.id FROM users u LEFT JOIN orders o ON o.user_id = u.id"
    missing = "SELECT id FROM users WHERE last_login_at = last_login_at"
    assert same_rows(parsed(inner), parsed(left), tables()) is False
    assert same_rows(parsed(missing), parsed("SELECT id FROM users"), tables()) is False
    assert same_rows(parsed(inner), parsed(inner), tables()) is True


def test_nothing_is_rewritten_that_cannot_be_tried():
    sql = "SELECT my_own(name) FROM (SELECT name, id FROM users) q WHERE id = 1"
    assert improved(sql)[1] == []
    assert improve(parsed(sql), "postgres", Tables()).tree.sql("postgres") == parsed(sql).sql(
        "postgres"
    )


def advice(sql, kind):
    return [each for each in advise(parsed(sql), "postgres", tables()) if each.kind == kind]


def test_an_index_is_advised_that_the_plan_takes_and_that_is_not_there():
    sql = "SELECT id FROM orders WHERE user_id = 3 AND created_at > '2020-01-01'"
    (found,) = advice(sql, "index")
    assert found.sql == (
        "CREATE INDEX orders_user_id_created_at_idx ON orders(user_id, created_at)"
    )
    assert advice("SELECT id FROM users WHERE email = 'x'", "index") == []
    assert advice("SELECT id FROM users WHERE id = 3", "index") == []
    (few,) = advice("SELECT id FROM users WHERE plan = 'pro'", "index")
    assert "few values" in few.message


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM users", "SELECT *"),
        ("SELECT id FROM users WHERE name LIKE '%x'", "wildcard"),
        ("SELECT id FROM users WHERE LOWER(email) = 'x'", "computed for every row"),
        ("SELECT id FROM orders LIMIT 3", "any rows"),
        ("SELECT id FROM orders ORDER BY id LIMIT 3 OFFSET 1000", "OFFSET"),
        ("SELECT users.id FROM users, orders", "every pair"),
        ("SELECT id FROM users UNION SELECT id FROM orders", "UNION ALL"),
        (
            "SELECT id FROM users WHERE created_at NOT IN (SELECT last_login_at FROM users)",
            "NOT EXISTS",
        ),
    ],
)
def test_habits_that_cost_are_named(sql, words):
    assert any(words in found.message for found in advice(sql, "habit"))


@pytest.mark.parametrize(
    "shown",
    [
        "HEX(RANDOMBLOB(900000))",
        "HEX(RANDOMBLOB(9000))",
        ", ".join(["HEX(RANDOMBLOB(40000))"] * 200),
        f"'{'a' * 5000}' LIKE '{'%a' * 2000}%b'",
    ],
)
def test_a_trial_of_rows_that_are_huge_takes_little_memory_and_ends(shown):
    query = parsed(f"SELECT {shown} FROM users, orders, users AS u, orders AS o")
    started = time.process_time()
    tracemalloc.start()
    try:
        same_rows(query, query, tables())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20
    assert time.process_time() - started < 20
