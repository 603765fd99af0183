"""Markdown and text: what is a heading, what is a paragraph, and that spans are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs.rag.files import format_of
from graphs.rag.markup import read_markdown, read_text
from graphs.rag.reading import Unreadable

PAGE = """# The tower

Intro.

## Opening *hours*

The tower is open
from May to October.

```sh
# no heading
make serve
```

Tickets
-------

A ticket costs four euros.
"""


def blocks(reading):
    return [
        (reading.text[block.start : block.end], block.headings, block.is_heading)
        for block in reading.blocks
    ]


def test_paragraphs_know_their_headings():
    found = blocks(read_markdown(PAGE))
    tower, hours = ("The tower",), ("The tower", "Opening hours")
    assert found == [
        ("# The tower", tower, True),
        ("Intro.", tower, False),
        ("## Opening *hours*", hours, True),
        ("The tower is open\nfrom May to October.", hours, False),
        ("```sh\n# no heading\nmake serve\n```", hours, False),
        ("Tickets\n-------", ("The tower", "Tickets"), True),
        ("A ticket costs four euros.", ("The tower", "Tickets"), False),
    ]
    assert read_markdown(PAGE).title == "The tower"


def test_text_has_paragraphs_and_no_headings():
    found = blocks(read_text("# a comment\n\n\n  two\nlines  \n"))
    assert found == [("# a comment", (), False), ("two\nlines", (), False)]


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        (PAGE, "markdown"),
        ("plain words", "text"),
        ("words\n# comment\nwords", "text"),
        ("<!DOCTYPE html><p>x", "html"),
        (" \n<!-- a --> <html lang=en><body>x", "html"),
        ("a < b and <html> later", "text"),
    ],
)
def test_the_format_is_seen_from_the_text(text, format_):
    assert format_of(text) == format_


@pytest.mark.parametrize("text", ["", " \n\n ", "---\n***\n"])
def test_a_page_without_words_is_refused(text):
    with pytest.raises(Unreadable, match="no text"):
        read_markdown(text)


@given(st.text(st.sampled_from("ab#\n `-=~>|1.é ")))
def test_whatever_is_written_blocks_are_in_order_and_cover_every_word(text):
    for read in (read_markdown, read_text):
        try:
            reading = read(text)
        except Unreadable:
            assert not any(c.isalnum() for c in text)
            continue
        end = 0
        covered = ""
        for block in reading.blocks:
            assert end <= block.start < block.end <= len(text)
            covered += text[block.start : block.end]
            end = block.end
        assert [c for c in covered if c.isalnum()] == [c for c in text if c.isalnum()]
