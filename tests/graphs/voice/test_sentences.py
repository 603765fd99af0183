"""Sentences come out as soon as they end, and nothing is lost on the way."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs.voice.sentences import LONGEST, SentenceCutter


def cut(*pieces):
    """What each piece completes, and the rest."""
    cutter = SentenceCutter()
    return [*(cutter.feed(piece) for piece in pieces), cutter.rest()]


def test_a_sentence_is_out_before_the_next_one_is_written():
    assert cut("It is ", "two. ", "And ", "you?") == [[], ["It is two."], [], [], ["And you?"]]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Dr. Bell rang. Twice!", ["Dr. Bell rang.", "Twice!"]),
        ("It is 3.14 or so. Yes.", ["It is 3.14 or so.", "Yes."]),
        ("1. First\n2. Second", ["1. First", "2. Second"]),
        ("\u4f60\u597d\u3002\u518d\u89c1\u3002", ["\u4f60\u597d\u3002", "\u518d\u89c1\u3002"]),
        ("**Bold** and `code`. See [here](http://x.y/z).", ["Bold and code .", "See here."]),
        ("SELECT * FROM user_names", ["SELECT FROM user names"]),
        ("... !!! ---", []),
        ("", []),
    ],
)
def test_sentences_are_cut_at_their_ends_and_without_marks_for_the_eye(text, sentences):
    assert [s for piece in cut(text) for s in piece] == sentences


def test_a_long_sentence_is_cut_at_a_pause_but_not_inside_of_a_number():
    text = "one two three four five " * 6 + "1,000, and then " + "six seven eight nine " * 4
    cutter = SentenceCutter()
    first, *_ = cutter.feed(text)
    assert first.endswith("1,000,")


def test_what_never_pauses_does_not_wait_for_ever():
    cutter = SentenceCutter()
    pieces = cutter.feed("word " * 200)
    assert pieces
    assert max(map(len, pieces)) <= LONGEST
    assert cutter.feed("x" * (LONGEST + 1))


@given(st.text(alphabet="ab1.,!? \n\u3002", max_size=300), st.integers(1, 40))
def test_however_text_arrives_every_letter_is_spoken_once_and_in_order(text, size):
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    spoken = "".join(sentence for found in cut(*pieces) for sentence in found)
    letters = re.compile(r"[^ab]")
    assert letters.sub("", spoken) == letters.sub("", text)
