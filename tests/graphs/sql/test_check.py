"""What is wrong with a statement is found, named and placed; what is right is let pass."""

import time

import pytest

from graphs.sql_assist.check import check
from graphs.sql_assist.english import explain
from graphs.sql_assist.improve import improve
from graphs.sql_assist.repair import repair
from graphs.sql_assist.schema_text import read_schema
from graphs.sql_assist.tables import Tables
from tests.graphs.sql.starter import checked, codes, tables

RIGHT = [
    "SELECT * FROM users WHERE created_at >= NOW() - INTERVAL '30 days';",
    (
        "SELECT u.name, SUM(o.total) AS revenue FROM users u JOIN orders o ON o.user_id = u.id"
        " GROUP BY u.id ORDER BY revenue DESC LIMIT 5"
    ),
    "SELECT DATE_TRUNC('month', created_at) AS month, COUNT(*) FROM orders GROUP BY month",
    (
        "WITH paid AS (SELECT user_id, total FROM orders WHERE status = 'paid')"
        " SELECT user_id, SUM(total) FROM paid GROUP BY 1 HAVING SUM(total) > 10"
    ),
    "SELECT name FROM users u WHERE NOT EXISTS (SELECT 1 FROM orders WHERE user_id = u.id)",
    "SELECT q.n FROM (SELECT COUNT(*) AS n FROM orders) AS q",
    "SELECT id FROM users UNION ALL SELECT id FROM orders ORDER BY id",
    "SELECT ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY total) FROM orders",
    "SELECT COUNT(*) FILTER (WHERE status = 'paid') FROM orders",
    "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY total) FROM orders",
    "SELECT DISTINCT ON (user_id) user_id, total FROM orders ORDER BY user_id, total DESC",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n",
    'SELECT "name" FROM public.users WHERE public.users.id = $1',
    "SELECT EXTRACT(YEAR FROM created_at) FROM orders WHERE created_at::date = CURRENT_DATE",
    "SELECT name FROM users ORDER BY LOWER(name), id LIMIT 3 OFFSET 2",
]
WRONG = [
    ("SELEC * FROM users", "syntax", 1, 9),
    ("SELECT *\nFROM users\nWHER plan = 'pro'", "syntax", 3, 6),
    ("SELECT COUNT(* FROM users", "syntax", 1, 16),
    ("SELECT name,, email FROM users", "syntax", 1, 12),
    ("SELECT name, FROM users", "syntax", 1, 12),
    ("SELECT * FROM users WHERE id == 1", "syntax", 1, 30),
    ("SELECT * FROM users WHERE plan = 'pro", "syntax", 1, 34),
    ("SELECT *", "syntax", 1, 8),
    ("SELECT nme FROM users", "unknown_column", 1, 8),
    ("SELECT u.nme FROM users u", "unknown_column", 1, 10),
    ("SELECT x.name FROM users u", "unknown_table", 1, 8),
    ("SELECT * FROM customers", "unknown_table", 1, 15),
    ("SELECT id FROM users u JOIN orders o ON o.user_id = u.id", "ambiguous_column", 1, 8),
    ("SELECT a.j FROM (SELECT id AS i FROM users) a", "unknown_column", 1, 10),
    ("SELECT country, COUNT(*) FROM users", "not_grouped", 1, 8),
    ("SELECT user_id FROM orders WHERE SUM(total) > 3", "aggregate_place", 1, 34),
    ("SELECT CONT(*) FROM users", "unknown_function", 1, 8),
]


@pytest.mark.parametrize("sql", RIGHT)
def test_a_right_query_is_valid_and_planned(sql):
    found = checked(sql)
    assert found.faults == []
    assert found.plan.steps, found.warnings


@pytest.mark.parametrize(("sql", "code", "line", "column"), WRONG)
def test_a_mistake_is_named_and_placed(sql, code, line, column):
    fault = checked(sql).faults[0]
    assert (fault.code, fault.line, fault.column) == (code, line, column), fault


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT id FROM users UNION SELECT id, user_id FROM orders", "plan"),
        ("INSERT INTO users (id, name) VALUES (1, 'a', 'b')", "plan"),
        ("INSERT INTO users (id, nam) VALUES (1, 'a')", "unknown_column"),
        ("SELECT * FROM users WHERE id = 'x'", "wrong_type"),
        ("SELECT 1; SELECT 2", "several_statements"),
        ("I can only answer questions about the shop.", "syntax"),
        ("hello", "no_statement"),
        ("", "no_statement"),
        (";", "no_statement"),
        ("-- SELECT 1", "no_statement"),
        ("PRAGMA table_info(users)", "no_statement"),
        ("ATTACH DATABASE '/etc/passwd' AS p", "syntax"),
    ],
)
def test_what_is_no_query_of_the_schema_is_invalid(sql, code):
    assert code in codes(sql)


def test_a_missing_from_that_makes_an_alias_is_a_warning():
    found = checked("SELECT COUNT(*) users")
    assert found.valid
    assert "FROM seems to be missing" in found.warnings[0]


def test_a_value_that_a_column_never_has_is_a_warning():
    found = checked("SELECT * FROM users WHERE plan = 'fre'")
    assert found.valid
    assert found.warnings == ["'plan' is never 'fre'; did you mean 'free'?"]


def test_a_function_of_the_database_s_own_is_let_pass_with_a_word():
    found = checked("SELECT my_own(name) FROM users")
    assert found.valid
    assert "my_own" in found.warnings[0]


def test_rules_follow_the_dialect():
    sql = "SELECT country, COUNT(*) FROM users"
    assert codes(sql, "postgres") == ["not_grouped"]
    assert codes(sql, "sqlite") == []
    assert codes("SELECT * FROM users WHERE id == 1", "sqlite") == []
    assert codes("SELECT `name` FROM users", "mysql") == []
    assert codes("SELECT TOP 5 [name] FROM users", "tsql") == []


def test_without_a_schema_only_the_syntax_is_checked():
    found = check("SELECT anything FROM anywhere", "postgres", Tables())
    assert found.valid
    assert found.plan.document() is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
        "SELECT " + "NOT " * 3_000 + "TRUE",
        "SELECT " + "-" * 3_000 + "1",
        "SELECT " + " + ".join(["1"] * 4_000),
        "SELECT * FROM users WHERE " + " OR ".join(["id = 1"] * 2_000),
        "SELECT " + "CASE WHEN TRUE THEN " * 1_000 + "1",
        "SELECT " + "(SELECT " * 190 + "1" + ")" * 190,
        "SELECT * FROM " + ", ".join(f"users u{n}" for n in range(300)),
        "SELECT '" + "x" * 19_000,
    ],
)
def test_deep_and_long_statements_end_without_a_crash(sql):
    found = checked(sql)
    for tree in found.statements.trees:
        explain(tree, "postgres", tables())
        improve(tree, "postgres", tables())


def test_subscripts_without_end_are_refused_at_once():
    started = time.process_time()
    found = checked("SELECT id" + "[1] " * 4_900)
    assert [fault.code for fault in found.faults] == ["syntax"]
    assert "subscripts" in found.faults[0].message
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM (" * 60 + "SELECT * FROM w" + ") q" * 60,
        "SELECT * FROM " + ", ".join(f"w w{n}" for n in range(60)),
        "SELECT c1 FROM w WHERE c1 IN (" + ",".join(map(str, range(4_000))) + ")",
        "SELECT c1 FROM w WHERE " + " OR ".join(f"c1 = {n}" for n in range(1_000)),
        " UNION ALL ".join(["SELECT c1 FROM w"] * 400),
    ],
)
def test_wide_tables_do_not_make_a_check_long(sql):
    wide = read_schema(f"w({', '.join(f'c{n} int' for n in range(1_000))})", "postgres")
    started = time.process_time()
    found = check(sql, "postgres", wide)
    for tree in found.statements.trees:
        explain(tree, "postgres", wide)
        improve(tree, "postgres", wide)
    repair(sql.replace("FROM", "FORM", 1), "postgres", wide)
    assert time.process_time() - started < 10
