"""What is called valid, PostgreSQL plans; what is called wrong, it refuses."""

import random

import asyncpg
import pytest

from models.starter_chat import SCHEMA
from models.starter_chat.corpus import _sql_question
from models.starter_chat.sql_broken import broken
from models.starter_chat.sql_query import draw_query
from tests.graphs.sql.starter import checked
from tests.graphs.sql.test_check import RIGHT, WRONG

DRAWN = 250


@pytest.fixture
async def planner(database_url):
    """Whether PostgreSQL can plan a statement over the starter schema. All is rolled back."""
    connection = await asyncpg.connect(database_url)
    outer = connection.transaction()
    await outer.start()
    await connection.execute("CREATE SCHEMA assisted; SET LOCAL search_path = assisted")
    await connection.execute(SCHEMA.read_text())

    async def plans(sql: str) -> bool:
        inner = connection.transaction()
        await inner.start()
        try:
            # A prepared statement is planned with its parameters open.
            await connection.prepare(f"EXPLAIN {sql.rstrip(';')}" if "$1" not in sql else sql)
            if "$1" not in sql:
                await connection.fetch(f"EXPLAIN {sql.rstrip(';')}")
        except asyncpg.PostgresError:
            return False
        finally:
            await inner.rollback()
        return True

    yield plans
    await outer.rollback()
    await connection.close()


async def test_drawn_questions_and_their_mistakes_are_judged_alike(planner):
    rng = random.Random(30)
    for _ in range(DRAWN):
        _, sql, _, _ = _sql_question(rng)
        found = checked(sql)
        assert found.valid, (sql, found.faults)
        assert found.plan.steps, (sql, found.warnings)
        assert await planner(found.statements.sql()), found.statements.sql()
        wrong = broken(draw_query(rng).sql(), rng)
        found = checked(wrong)
        assert not found.valid or await planner(found.statements.sql()), wrong
        assert found.valid == await planner(wrong), (wrong, found.faults)


@pytest.mark.parametrize("sql", [s.replace("public.", "") for s in RIGHT])
async def test_right_queries_are_right_in_postgresql(planner, sql):
    assert await planner(sql)
    assert await planner(checked(sql).statements.sql())


@pytest.mark.parametrize("sql", [sql for sql, *_ in WRONG])
async def test_wrong_queries_are_wrong_in_postgresql(planner, sql):
    assert not await planner(sql)
