"""Conditions: a small grammar, evaluated without any language behind it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conditions import BadCondition, Incomparable, condition_of
from core.references import BadReference

VALUES = {
    "inputs.n": 3,
    "inputs.text": "a red bell",
    "inputs.none": None,
    "inputs.list": ["x", 2],
    "steps.a.status": "completed",
}


def holds(text):
    return condition_of(text).holds(lambda reference: VALUES[reference.text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${inputs.n} == 3", True),
        ("${inputs.n} > 3.5", False),
        ("${inputs.n} >= 3 and ${inputs.n} < 1e2", True),
        ("'red' in ${inputs.text}", True),
        ('"x" in ${inputs.list} and not 3 in ${inputs.list}', True),
        ("${inputs.none} == null or false", True),
        ("not ${inputs.none}", True),
        ("${inputs.text}", True),
        ("not (${inputs.n} == 3 or true)", False),
        ("true or true and false", True),
        ("${steps.a.status} != 'failed'", True),
        ("-1 < 0", True),
    ],
)
def test_a_condition_holds_or_not(text, expected):
    assert holds(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "1 == ",
        "== 1",
        "1 1",
        "(1",
        "1)",
        "__import__('os')",
        "open('x')",
        "a",
        "1 < 2 < 3",
        "'unfinished",
        "(" * 50 + "1" + ")" * 50,
        "not " * 200 + "1",
        "1 or " * 1000 + "1",
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(BadCondition):
        condition_of(text)


def test_what_has_no_order_says_so():
    with pytest.raises(Incomparable, match="str < int"):
        holds("${inputs.text} < 3")
    with pytest.raises(Incomparable):
        holds("1 in ${inputs.n}")


@given(st.text(alphabet="()'\"=<>!${}.andornot 01", max_size=40))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(BadCondition, BadReference):
        condition_of(text)
