"""Words about pictures against what was asked for: colours with their things, and shapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs.image_workflow.matching import Match, facts
from graphs.image_workflow.matching import match as matched

SAID = "a red circle on a blue background"


def match(expected: list[str], said: str) -> Match:
    found = matched(expected, said)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("prompt", "score", "missing"),
    [
        ("a red circle on a blue background", 1.0, ()),
        ("A picture of a RED circle, on a blue background!", 1.0, ()),
        ("a circle in red", 1.0, ()),
        ("red", 1.0, ()),
        ("a circle", 1.0, ()),
        ("a large red circle", 1.0, ()),
        ("a blue circle on a red background", 0.5, ("blue circle", "red background")),
        ("a red square on a blue background", 0.75, ("red square",)),
        ("a green star on a yellow background", 0.25, ("green star", "yellow background")),
        ("two red circles", 1.0, ()),
    ],
)
def test_colours_are_compared_with_what_has_them(prompt, score, missing):
    found = match([prompt], SAID)
    assert (found.score, found.missing) == (score, missing)


def test_a_prompt_without_colours_and_shapes_is_compared_by_its_words():
    found = match(["a cat on a sofa"], "a cat sitting on a couch")
    assert (found.score, found.expected, found.missing) == (0.5, ("cat", "sofa"), ("sofa",))


def test_a_colour_belongs_to_any_thing_that_follows_it():
    assert match(["a red car in the rain"], "a red car on a street").score == 1.0
    assert match(["a red car in the rain"], "a blue car beside a red house").score == 0.5


def test_several_phrases_are_expected_together_and_grey_is_gray():
    found = match(["grey star", "black background"], "a gray star on a white background")
    assert (found.score, found.missing) == (0.75, ("black background",))


@pytest.mark.parametrize("empty", ["", "a picture of the", "!?", "一只猫"])
def test_what_says_nothing_is_not_compared(empty):
    assert matched([empty], SAID) is None


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_score_is_a_share_and_every_text_fits_itself(prompt, said):
    found = matched([prompt], said)
    assert found is None or 0 <= found.score <= 1
    assert facts(prompt) == [] or match([prompt], prompt).score == 1
