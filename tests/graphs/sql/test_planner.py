"""Plans are made on an empty database that reaches nothing."""

import sqlite3
import time

import pytest

from graphs.sql_assist.planner import empty_database, plan
from graphs.sql_assist.statement import read
from graphs.sql_assist.tables import Column, Index, Table, Tables
from tests.graphs.sql.starter import tables


@pytest.fixture
def database():
    database = empty_database(tables())
    yield database
    database.close()


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA database_list",
        "PRAGMA writable_schema = 1",
        "CREATE TABLE more (id)",
        "DROP TABLE users",
        "CREATE TRIGGER t AFTER INSERT ON users BEGIN SELECT 1; END",
        "SELECT load_extension('x')",
        "VACUUM INTO '/tmp/x.db'",
        "BEGIN",
        "CREATE VIRTUAL TABLE v USING fts3(a)",
    ],
)
def test_the_database_refuses_what_no_plan_needs(database, sql):
    with pytest.raises(sqlite3.Error):
        database.execute(sql)


def test_what_runs_too_long_is_stopped(database):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"
    started = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        database.execute(endless).fetchall()
    assert time.monotonic() - started < 10


def test_a_plan_is_made_and_nothing_is_run(monkeypatch):
    ran = []
    monkeypatch.setattr("graphs.sql_assist.planner._Nothing.step", lambda *_: ran.append(1))
    (tree,) = read("SELECT string_agg(name, ',') FROM users WHERE id = 1", "postgres").trees
    found = plan(tree, tables())
    assert found.steps[0]["detail"].startswith("SEARCH users USING INTEGER PRIMARY KEY")
    assert ran == []


def test_names_of_a_schema_are_names_and_no_sql():
    evil = Table('u"); DROP TABLE x; --', [Column('a"; b'), Column("select")])
    (tree,) = read("SELECT 1", "postgres").trees
    assert plan(tree, Tables([evil, Table("x", [Column("id")])])).steps


def test_an_index_that_would_help_is_used():
    (tree,) = read("SELECT id FROM orders WHERE user_id = 3", "postgres").trees
    assert not plan(tree, tables()).uses("advice_0")
    assert plan(tree, tables(), [("orders", Index(("user_id",)))]).uses("advice_0")


def test_syntax_that_sqlite_lacks_is_no_fault_of_the_statement():
    (tree,) = read("SELECT status FROM orders GROUP BY ROLLUP (status)", "postgres").trees
    found = plan(tree, tables())
    assert found.fault is None
    assert found.unplanned
