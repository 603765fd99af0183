"""Whatever a caller or a model writes is checked, told and repaired without a crash."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphs.sql_assist.advice import advise
from graphs.sql_assist.check import check
from graphs.sql_assist.english import explain
from graphs.sql_assist.improve import improve
from graphs.sql_assist.repair import repair
from models.starter_chat.corpus import _sql_question
from tests.graphs.sql.starter import tables

DIALECTS = ("postgres", "mysql", "tsql", "bigquery", "sqlite", "oracle")
PIECES = (
    "'", '"', "(", ")", ",", ";", "--", "/*", "\\", "\x00", "\u2028", "$1", "::", "SELECT", "FROM",
    "WITH", "users", "*", "NULL", "}", '{"sql": "',
)  # fmt: skip


@st.composite
def mutilated(draw) -> str:
    """A query with a few pieces put in or cut out."""
    _, sql, _, _ = _sql_question(random.Random(draw(st.integers(0, 5_000))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(sql)))
        length = draw(st.integers(0, 4))
        sql = sql[:place] + draw(st.sampled_from(("", *PIECES))) + sql[place + length :]
    return sql


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.one_of(mutilated(), st.text(max_size=60)), dialect=st.sampled_from(DIALECTS))
def test_any_text_is_judged_and_what_is_valid_stays_valid(text, dialect):
    found = check(text, dialect, tables())
    for tree in found.statements.trees:
        explain(tree, dialect, tables())
    if found.valid:
        again = check(found.statements.sql(), dialect, tables())
        assert again.valid, (found.statements.sql(), again.faults)
        better = improve(found.tree, dialect, tables()).tree
        advise(better, dialect, tables())
    cured = repair(text, dialect, tables()).checked
    assert cured.valid or not found.valid
