"""Blocks: the paragraphs and headings of a document, and how they travel.

Place in the path: readers of formats make them, passages are cut along them. Between
`read_document` and `add_document` they are one string, the outline, which the gateway passes on
unread. Each heading is in it once and blocks name theirs by number, so that its length is bounded
by that of the text, however deep the headings are. It reads no format.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import orjson
from pydantic import BaseModel, Field, ValidationError

from core.rag import MAX_BLOCKS

Headings = tuple[str, ...]

MAX_HEADING = 200
"""Characters of a heading in the path that passages carry."""
MAX_DEPTH = 10
"""Of headings under headings: Word has nine levels and a title."""
NO_HEADING = -1
NO_PAGE = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a heading, a row: a piece of text that nothing should cut without need.

    Args:
        start, end: characters of the document's text, from and up to.
        headings: those that it stands under, the outermost first; a heading's own is the last.
    """

    start: int
    end: int
    headings: Headings = ()
    is_heading: bool = False
    page: int | None = None


class _Outline(BaseModel):
    headings: list[tuple[Annotated[str, Field(max_length=MAX_HEADING)], int]] = Field(
        max_length=MAX_BLOCKS
    )
    """Each with the number of the one that it stands under, which came before it."""
    blocks: list[tuple[int, int, int, int, int]] = Field(min_length=1, max_length=MAX_BLOCKS)
    """Start, end, number of the heading, whether it is one, page."""


def outline_of(blocks: Iterable[Block]) -> str:
    """Blocks as an outline."""
    numbers: dict[Headings, int] = {(): NO_HEADING}
    headings: list[tuple[str, int]] = []

    def number(path: Headings) -> int:
        if path not in numbers:
            above = number(path[:-1])
            numbers[path] = len(headings)
            headings.append((path[-1], above))
        return numbers[path]

    rows = [
        (each.start, each.end, number(each.headings), int(each.is_heading), each.page or NO_PAGE)
        for each in blocks
    ]
    return orjson.dumps({"headings": headings, "blocks": rows}).decode()


def blocks_of(outline: str, length: int) -> list[Block]:
    """The blocks of an outline of a text of `length` characters.

    Raises ValueError, which says what is wrong, for one that `outline_of` did not write.
    """
    try:
        read = _Outline.model_validate_json(outline)
    except ValidationError as error:
        raise ValueError("it is not as 'read_document' wrote it") from error
    paths = _paths(read.headings)
    found: list[Block] = []
    before = 0
    for index, (start, end, heading, is_heading, page) in enumerate(read.blocks):
        if not before <= start < end <= length:
            raise ValueError(f"block {index} is not a piece of the text, in its order")
        if not NO_HEADING <= heading < len(read.headings) or page < NO_PAGE:
            raise ValueError(f"block {index} has a heading or a page that is not there")
        found.append(Block(start, end, paths[heading], bool(is_heading), page or None))
        before = end
    return found


def _paths(headings: list[tuple[str, int]]) -> list[Headings]:
    """The path of each heading; the last, which is also at -1, is that of none."""
    paths: list[Headings] = []
    for index, (text, above) in enumerate(headings):
        if not NO_HEADING <= above < index:
            raise ValueError(f"heading {index} stands under one that did not come before it")
        path = (*(() if above == NO_HEADING else paths[above]), text)
        if len(path) > MAX_DEPTH:
            raise ValueError(f"heading {index} is over {MAX_DEPTH} levels deep")
        paths.append(path)
    return [*paths, ()]
