"""A schema in any of its forms gives the same tables; a bad one is refused where it is bad."""

import time

import pytest
from pydantic import ValidationError

from core.errors import InvalidRequest
from core.sql import SqlRequest
from graphs.sql_assist.schema_text import read_schema
from graphs.sql_assist.tables import Index
from tests.graphs.sql.starter import tables

FORMS = [
    "CREATE TABLE users (id bigint PRIMARY KEY, name text); CREATE TABLE orders (id, total);",
    "users(id bigint, name text)\norders(id int, total int)",
    "users(id, name); orders(id, total)",
    {"users": ["id", "name"], "orders": ["id", "total"]},
    {"users": {"id": "bigint", "name": "text"}, "orders": {"id": "int", "total": "int"}},
    {"tables": [{"name": "users", "columns": ["id", {"name": "name", "type": "text"}]},
                {"name": "orders", "columns": ["id", "total"]}]},
]  # fmt: skip


def read(schema, dialect="postgres"):
    request = SqlRequest.model_validate({"query": "x", "schema": schema, "dialect": dialect})
    return read_schema(request.schema_, request.dialect)


@pytest.mark.parametrize("schema", FORMS)
def test_every_form_gives_the_same_tables(schema):
    found = {table.name: [column.name for column in table.columns] for table in read(schema)}
    assert found == {"users": ["id", "name"], "orders": ["id", "total"]}


def test_keys_indexes_references_and_closed_values_are_read():
    users, orders = tables().get("users"), tables().get("ORDERS")
    assert users
    assert orders
    assert users.primary_key == ("id",)
    assert Index(("email",), unique=True) in users.indexes
    country, login = users.column("country"), users.column("last_login_at")
    assert country
    assert login
    assert "Germany" in country.values
    assert (country.nullable, login.nullable) == (False, True)
    assert (orders.references[0].column, orders.references[0].table) == ("user_id", "users")


def test_a_dump_is_read_past_what_is_no_table():
    dump = """
        SET statement_timeout = 0;
        -- people
        CREATE TABLE public.people (id integer NOT NULL, mail text);
        ALTER TABLE ONLY public.people ADD CONSTRAINT people_pk PRIMARY KEY (id);
        CREATE UNIQUE INDEX people_mail ON public.people (mail);
    """
    (people,) = read(dump)
    assert people.primary_key == ("id",)
    assert people.indexes == [Index(("mail",), unique=True)]


def test_values_of_an_enum_are_closed():
    (table,) = read("CREATE TABLE t (size ENUM('s', 'm') NOT NULL)", "mysql")
    assert table.columns[0].values == ("s", "m")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("CREATE TABLE users (id bigint,\n  name text NOT", "line 2"),
        ("we have users and orders", "line 1"),
        ("users(id)\norders", "line 2"),
        ("users(id); Users(id)", "'Users' is there twice"),
        ("users(id, ID)", "two columns 'id'"),
        ("users(id, )", "column without a name"),
        ("CREATE VIEW v AS SELECT 1", "no tables"),
        ("CREATE TABLE " + "(" * 5000, "schema"),
        ("\n".join(f"t{n}(id)" for n in range(501)), "at most 500 tables"),
        ("CREATE TABLE t (id int DEFAULT a" + "[1]" * 60_000 + ")", "subscripts"),
        ("CREATE TABLE t (id int" + "[]" * 60_000 + ")", "subscripts"),
        ("t(id " + "ARRAY<" * 30_000 + ")", "nested too deeply"),
    ],
)
def test_a_bad_text_is_refused_where_it_is_bad(schema, words):
    with pytest.raises(InvalidRequest, match="schema") as refused:
        read(schema)
    assert words in refused.value.message
    assert refused.value.param == "schema"


def test_a_schema_with_more_columns_than_anybody_has_is_refused_before_it_is_read():
    wide = {f"t{n}": [f"c{m}" for m in range(1_000)] for n in range(500)}
    with pytest.raises(ValidationError, match="at most 20,000 columns in all, got 500,000"):
        SqlRequest.model_validate({"query": "How many?", "schema": wide})


def test_the_widest_schema_is_read_in_no_time():
    wide = {f"t{n}": [f"c{m}" for m in range(1_000)] for n in range(20)}
    started = time.process_time()
    assert len(read(wide)) == 20
    assert time.process_time() - started < 3
