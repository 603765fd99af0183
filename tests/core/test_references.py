"""References: a path and nothing else, understood or refused, and filled in by type."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.references import (
    BadReference,
    Missing,
    TooLarge,
    filled,
    references_in,
    understood,
    walked,
)


@pytest.mark.parametrize(
    ("text", "root", "path"),
    [
        ("inputs.topic", "inputs", ("topic",)),
        (
            "steps.a.output.choices[0].message",
            "steps",
            ("a", "output", "choices", 0, "message"),
        ),
        ('steps.a.output["two words"][-1]', "steps", ("a", "output", "two words", -1)),
        (" item ", "item", ()),
        ("item[2].name", "item", (2, "name")),
        ("index", "index", ()),
        (f"media.{'0a' * 32}.data_url", "media", ("0a" * 32, "data_url")),
    ],
)
def test_a_reference_is_a_root_and_a_path(text, root, path):
    reference = understood(text)
    assert (reference.root, reference.path) == (root, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secrets.pepper",
        "inputs",
        "inputs[0]",
        "steps.a",
        "steps.a.request",
        "steps..output",
        "steps.a.output.",
        "steps.a.output[x]",
        "steps.a.output()",
        "inputs.__class__()",
        "inputs.a + 1",
        "index.b",
        "inputs" + ".a" * 30,
        "inputs." + "a" * 1000,
    ],
)
def test_everything_else_is_refused(text):
    with pytest.raises(BadReference):
        understood(text)


def test_a_whole_text_takes_the_value_and_a_part_of_one_its_text():
    values = {"inputs.n": 7, "inputs.list": [1, "a"], "inputs.text": "hello"}
    document = {
        "n": "${inputs.n}",
        "list": ["${inputs.list}", "n=${inputs.n}, ${inputs.text} ${inputs.list}"],
        "plain": "no $ {reference} }",
        "escaped": "$${inputs.n}",
    }
    assert filled(document, lambda reference: values[reference.text]) == {
        "n": 7,
        "list": [[1, "a"], 'n=7, hello [1,"a"]'],
        "plain": "no $ {reference} }",
        "escaped": "${inputs.n}",
    }


def test_what_a_value_says_is_never_read_as_a_reference():
    assert filled("${inputs.a}", lambda _: "${inputs.b}") == "${inputs.b}"


def test_a_small_document_cannot_become_a_large_one():
    document = {"a": ["${inputs.big} and more"] * 1000}
    with pytest.raises(TooLarge, match="over the limit"):
        filled(document, lambda _: "x" * 100_000)


def test_references_are_found_with_their_places_and_bad_ones_told_with_theirs():
    found = list(references_in({"a": ["x", "${item}"], "b": {"c": "${index} of ${inputs.n}"}}))
    assert [(place, reference.text) for place, reference in found] == [
        (("a", 1), "item"),
        (("b", "c"), "index"),
        (("b", "c"), "inputs.n"),
    ]
    with pytest.raises(BadReference) as caught:
        list(references_in({"a": [{"b": "${nothing.here}"}]}))
    assert caught.value.place == ("a", 0, "b")
    with pytest.raises(BadReference, match="has no end"):
        list(references_in("${inputs.a"))


@pytest.mark.parametrize("path", [("b",), ("a", 9), ("a", "x"), ("a", 0, "deep"), (0,)])
def test_what_is_not_there_is_missing(path):
    with pytest.raises(Missing, match="there is no"):
        walked({"a": [1]}, path, understood("inputs.a"))


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(BadReference):
        list(references_in("${" + text + "}"))
