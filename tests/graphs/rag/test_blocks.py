"""Outlines: small however deep the headings are, read as they were written, else refused."""

import orjson
import pytest

from core.rag import MAX_BLOCKS, MAX_OUTLINE
from graphs.rag.blocks import MAX_DEPTH, Block, blocks_of, outline_of
from graphs.rag.hypertext import read_html
from graphs.rag.markup import read_markdown, read_text
from graphs.rag.reading import Unreadable

PAGE = "# A\n\n### B\n\ntext\n\n## C\n\n# A\n\nmore\n\n## C\n\nend\n"


@pytest.mark.parametrize(
    "reading",
    [
        read_markdown(PAGE),
        read_text("one\n\ntwo"),
        read_html("<h1>A<h2>B<p>text<h1>C"),
    ],
)
def test_blocks_are_the_same_after_they_travelled(reading):
    assert blocks_of(outline_of(reading.blocks), len(reading.text)) == reading.blocks


def test_pages_travel_too():
    blocks = [Block(0, 3, (), is_heading=False, page=1), Block(3, 5, ("a",), is_heading=True)]
    assert blocks_of(outline_of(blocks), 5) == blocks


def test_long_headings_are_not_repeated_for_every_paragraph():
    headings = "".join(f"<h{level}>{str(level) * 200}" for level in range(1, 7))
    page = headings + "<p>a" * (MAX_BLOCKS - 6)
    reading = read_html(page).document()
    assert len(orjson.dumps(reading)) < 10 * len(page)
    assert len(reading["outline"]) < MAX_OUTLINE


def test_a_heading_for_every_word_makes_no_large_outline():
    page = "".join(f"<h{level}>{'x' * 200}" for level in range(1, 6))
    page += "".join(f"<h6>{number}" for number in range(60_000))
    assert len(orjson.dumps(read_html(page).document())) < 10 * len(page)


@pytest.mark.parametrize(
    ("read", "piece"), [(read_html, "<p>a"), (read_text, "a\n\n"), (read_markdown, "# a\n")]
)
def test_a_document_of_too_many_pieces_is_refused(read, piece):
    with pytest.raises(Unreadable, match="100,000 paragraphs"):
        read(piece * (MAX_BLOCKS + 1))


@pytest.mark.parametrize(
    "outline",
    [
        "",
        "{}",
        '{"headings":[],"blocks":[]}',
        '{"headings":[],"blocks":[[0,6,-1,0,0]]}',
        '{"headings":[],"blocks":[[2,2,-1,0,0]]}',
        '{"headings":[],"blocks":[[0,3,-1,0,0],[2,4,-1,0,0]]}',
        '{"headings":[],"blocks":[[-1,3,-1,0,0]]}',
        '{"headings":[],"blocks":[[0,3,0,0,0]]}',
        '{"headings":[],"blocks":[[0,3,-2,0,0]]}',
        '{"headings":[],"blocks":[[0,3,-1,0,-1]]}',
        '{"headings":[["a",0]],"blocks":[[0,3,0,0,0]]}',
        '{"headings":[["a",-2]],"blocks":[[0,3,0,0,0]]}',
        orjson.dumps({"headings": [["a" * 201, -1]], "blocks": [[0, 3, 0, 0, 0]]}).decode(),
        orjson.dumps(
            {"headings": [["a", n - 1] for n in range(MAX_DEPTH + 1)], "blocks": [[0, 3, 0, 0, 0]]}
        ).decode(),
    ],
)
def test_an_outline_that_nobody_wrote_is_refused(outline):
    with pytest.raises(ValueError, match=r"."):
        blocks_of(outline, 5)
