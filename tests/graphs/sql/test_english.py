"""Explanations say what the statement says."""

import pytest

from graphs.sql_assist.english import explain
from graphs.sql_assist.statement import read
from graphs.sql_assist.summary import holds
from tests.graphs.sql.starter import tables


def told(sql, dialect="postgres"):
    (tree,) = read(sql, dialect).trees
    return explain(tree, dialect, tables())


def test_a_query_is_told_in_the_order_of_its_steps():
    sql = (
        "SELECT u.name, SUM(o.total) AS revenue FROM users u LEFT JOIN orders o ON o.user_id = u.id"
        " WHERE o.created_at < '2020-01-01' GROUP BY u.id, u.name HAVING SUM(o.total) > 3"
        " ORDER BY revenue DESC LIMIT 5"
    )
    assert told(sql) == [
        "Reads users (as u).",
        "Adds orders (as o) where orders.user_id is users.id, keeping rows that have no match.",
        "Keeps the rows where orders.created_at is before '2020-01-01'.",
        "Makes one group for each users.id and users.name.",
        "Keeps the groups where the sum of orders.total is more than 3.",
        "Shows users.name and the sum of orders.total as 'revenue'.",
        "Sorts by revenue, largest first.",
        "Gives at most 5 rows.",
    ]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("created_at >= NOW() - INTERVAL '30 days'", "created_at is in the last 30 days"),
        ("created_at < NOW() - INTERVAL '1 month'", "created_at is before 1 month before now"),
        ("created_at >= DATE_TRUNC('week', NOW())", "not before the start of this week"),
        ("name LIKE 'a%'", "name matches 'a%'"),
        ("name NOT LIKE 'a%'", "name does not match 'a%'"),
        ("last_login_at IS NULL", "last_login_at is missing"),
        ("last_login_at IS NOT NULL", "last_login_at is there"),
        ("plan IN ('free', 'pro')", "plan is one of 'free' or 'pro'"),
        ("plan NOT IN ('free', 'pro')", "plan is none of 'free' or 'pro'"),
        ("id BETWEEN 1 AND 5", "id is between 1 and 5"),
        ("id NOT BETWEEN 1 AND 5", "it is not so that (id is between 1 and 5)"),
        ("id <> 3", "id is not 3"),
        ("NOT (id = 3 OR id = 4)", "it is not so that (id is 3 or id is 4)"),
        ("id = 1 AND (plan = 'pro' OR id > 5)", "id is 1 and (plan is 'pro' or id is more than 5)"),
        ("id NOT IN (SELECT user_id FROM orders)", "id is not among user_id of orders"),
        ("NOT EXISTS (SELECT 1 FROM orders)", "there is no row of orders"),
        ("name LIKE 'a!%' ESCAPE '!'", "name LIKE 'a!%' ESCAPE '!'"),
        ("id IS DISTINCT FROM 3", "id IS DISTINCT FROM 3"),
        ("id BETWEEN SYMMETRIC 5 AND 1", "BETWEEN SYMMETRIC 5 AND 1"),
    ],
)
def test_conditions_have_words_or_stay_sql(condition, words):
    (_, kept, _) = told(f"SELECT name FROM users WHERE {condition}")
    assert words in kept


def test_nothing_of_a_statement_is_left_out():
    assert "FOR UPDATE" in " ".join(told("SELECT id FROM users FOR UPDATE"))
    assert "ROLLUP" in " ".join(told("SELECT plan FROM users GROUP BY ROLLUP (plan)"))
    assert "RETURNING" in " ".join(told("DELETE FROM users WHERE id = 1 RETURNING id"))
    assert "ROWS BETWEEN" in " ".join(
        told("SELECT SUM(total) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"
             " FROM orders")
    )  # fmt: skip


def test_a_change_without_a_condition_is_told_loudly():
    assert told("DELETE FROM users") == ["Deletes EVERY row of users."]
    assert told("UPDATE users SET plan = 'pro' WHERE id = 1") == [
        "Changes users: sets plan to 'pro' in the rows where id is 1."
    ]
    assert told("DROP TABLE users, orders") == ["Removes the table users and orders."]


def test_sets_subqueries_and_with_parts_are_told_inside():
    (text, doubles, limit) = told("SELECT id FROM users UNION SELECT id FROM orders LIMIT 1")
    assert "(Reads users; Shows id) and (Reads orders; Shows id)" in text
    assert "there already" in doubles
    assert limit == "Gives one row."
    prepared = told("WITH a AS (SELECT id FROM users) SELECT * FROM a")[0]
    assert prepared == "Prepares 'a': Reads users; Shows id."


@pytest.mark.parametrize(
    ("sentence", "is_kept"),
    [
        ("This query answers: users on the pro plan created in the last 30 days.", True),
        ("This query answers: users on the pro plan created in the last 90 days.", False),
        ("This query answers: users created in the last 30 days.", False),
        ("This query answers: orders on the pro plan in the last 30 days.", False),
        ("Users and orders on the pro plan of the last 30 days.", False),
        ("", False),
    ],
)
def test_a_model_s_sentence_is_kept_only_if_it_holds(sentence, is_kept):
    sql = "SELECT * FROM users WHERE plan = 'pro' AND created_at >= NOW() - INTERVAL '30 days'"
    (tree,) = read(sql, "postgres").trees
    assert holds(sentence, tree, tables()) is is_kept
