"""Plain documents: YAML of strangers, without its bombs."""

import pytest

from core.errors import InvalidRequest, MalformedBody
from core.plain import DEEPEST, MOST_VALUES, checked, from_yaml, without_nul

BOMB = b"""
a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: [*b, *b, *b, *b, *b, *b, *b, *b, *b]
"""


def test_yaml_is_what_json_would_be():
    text = b"name: x\nn: 3\nf: 0.5\nyes: true\nnone: null\nday: 2026-11-22\n"
    text += b"list: [1, {a: b}]\noctal: 010\n"
    assert from_yaml(text) == {
        "name": "x",
        "n": 3,
        "f": 0.5,
        "yes": True,
        "none": None,
        "day": "2026-11-22",
        "list": [1, {"a": "b"}],
        "octal": "010",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "anchors and aliases"),
        (b"a: &x 1", "anchors and aliases"),
        (b"a: 1\nb: 2\na: 3", "line 3, column 1: the name 'a' is there twice"),
        (b"a: 1\n[x]: 2", "line 2, column 1: a name is a text"),
        (b"a: {{b: c}: 2}", "line 1, column 5: a name is a text"),
        (b"? [x]\n: 2", "line 1, column 3: a name is a text"),
        (b"a: !!python/object/apply:os.system [id]", "line 1"),
        (b"a: !!timestamp 2026-01-01", "line 1"),
        (b"a: [", "line"),
        (b"[" * 5000, "levels deep"),
        (b"a: " + b"{b: " * 40 + b"1" + b"}" * 40, "levels deep"),
        (b"\xff\xfe\x00", "plain YAML"),
        (b"- 1\n- 2", "must be a YAML object"),
        (b"", "must be a YAML object"),
        (b"a: " + b"x" * 300_000, "at most"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(text, told):
    with pytest.raises(MalformedBody, match=told):
        from_yaml(text)


def nested(levels):
    value: dict = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(DEEPEST + 2),
        nested(900),
        {"a": {1: 2}},
        {"a": [float("nan")]},
        {"a": float("inf")},
        {"a": 10**30},
        {"a": [0] * (MOST_VALUES + 1)},
        {"a": ["x", "y\0"]},
        {"a\0": 1},
    ],
    ids=["deep", "deeper", "keys", "nan", "inf", "large", "many", "nul", "nul-name"],
)
def test_a_document_that_is_hard_to_walk_is_refused(value):
    with pytest.raises(InvalidRequest):
        checked(value)


def test_what_cannot_be_kept_is_named():
    with pytest.raises(InvalidRequest, match=r"'a\.1' has a NUL character") as refused:
        checked({"a": ["x", "y\0"]})
    assert refused.value.param == "a.1"


def test_nul_is_taken_out_of_texts_and_names():
    assert without_nul({"a\0": ["\0x", 1, {"b": "y\0z"}]}) == {"a": ["x", 1, {"b": "yz"}]}


def test_a_document_that_is_fine_comes_back():
    value = {"a": [1, "x", None, True, 0.5], "b": nested(10)}
    assert checked(value) is value
