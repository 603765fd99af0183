"""The starter model's schema, read, and checks against it."""

from functools import cache

from graphs.sql_assist.check import Checked, check
from graphs.sql_assist.schema_text import read_schema
from graphs.sql_assist.tables import Tables
from models.starter_chat import SCHEMA


@cache
def tables() -> Tables:
    return read_schema(SCHEMA.read_text(), "postgres")


def checked(sql: str, dialect: str = "postgres", **asked: bool) -> Checked:
    return check(sql, dialect, tables(), **asked)


def codes(sql: str, dialect: str = "postgres", **asked: bool) -> list[str]:
    return [fault.code for fault in checked(sql, dialect, **asked).faults]
