"""Passages: a document cut where it has seams, into pieces that an embedding model can take.

Place in the path: between reading a document and embedding it. A passage is an exact span of the
document's text, and carries its title and the headings it stands under, which say what it is about
where its own words do not. Cuts fall between paragraphs if they can, else between sentences or
lines, and inside a sentence only where one alone is too long. Sections share a passage only where
they are short. The next passage of a section repeats the last sentences of the one before.

It embeds nothing and keeps nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.filters import Metadata, Scalar
from core.rag import RagLimits
from graphs.rag.blocks import Block
from graphs.rag.reading import Reading
from graphs.rag.token_count import TokenCounter, TokenCounts

SEAM = re.compile(r"(?<=[.!?])\s+|(?<=[.!?][\"')\]])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
"""Between sentences, and between lines: rows of tables, items of lists, code."""
PATH = " > "
LEAD_END = "\n\n"
LEAD_SHARE = 5
"""Title and headings take at most this part of a passage."""
PARTS = 4
"""No piece has more than this part of a passage: passages are at least half full."""
SPECIAL_TOKENS = 2
"""What embedding models put around a text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A sentence, a line or a heading."""

    start: int
    end: int
    block: int
    """Index of its block."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A passage, before it has a place in a store.

    Args:
        start, end: its span of the document's text.
        lead: title and headings, as one line; empty where there are none.
        tokens: of what is embedded.
    """

    start: int
    end: int
    lead: str
    headings: tuple[str, ...]
    page: int | None
    tokens: int

    def text(self, document: str) -> str:
        """What is embedded, and searched for words."""
        return self.head + document[self.start : self.end]

    @property
    def head(self) -> str:
        return self.lead + LEAD_END if self.lead else ""

    def metadata(self, name: str, title: str | None, own: Metadata) -> Metadata:
        """What citations and filters need to know, beside the document's own metadata."""
        facts: dict[str, Scalar | None] = {
            "document": name,
            "title": title,
            "heading": PATH.join(self.headings)[:1000] or None,
            "page": self.page,
            "start": self.start,
            "end": self.end,
            "lead": len(self.head),
        }
        return {**own, **{key: value for key, value in facts.items() if value is not None}}


def cut(reading: Reading, title: str | None, limits: RagLimits, counter: TokenCounter) -> list[Cut]:
    """The passages of a document, in its order.

    Args:
        title: as passages carry it; None for none.
    """
    return list(_Cutter(reading, title, limits, counter).cuts())


class _Cutter:
    def __init__(
        self, reading: Reading, title: str | None, limits: RagLimits, counter: TokenCounter
    ) -> None:
        self._blocks = reading.blocks
        self._title = title
        self._limits = limits
        self._counter = counter
        spans = [(block.start, block.end) for block in reading.blocks]
        self._counts = counter.of(reading.text, spans)
        self._room = limits.passage_tokens - SPECIAL_TOKENS
        self._pieces = list(
            _pieces(reading.text, reading.blocks, self._counts, self._room // PARTS)
        )
        self._leads: dict[tuple[str, ...], tuple[str, int]] = {}

    def cuts(self) -> Iterator[Cut]:
        first, count = 0, len(self._pieces)
        while first < count:
            end = self._end(first)
            yield self._cut(first, end)
            first = self._next(first, end)

    def _end(self, first: int) -> int:
        """Up to which piece a passage reaches that begins with `first`."""
        room = self._room - self._lead(first)[1]
        half = self._room // 2
        end, seam = first + 1, None
        while end < len(self._pieces):
            piece = self._pieces[end]
            if self._tokens(first, end + 1) > room:
                break
            full_enough = self._tokens(first, end) >= half
            if full_enough and piece.block != self._pieces[end - 1].block:
                if self._section(end) != self._section(end - 1):
                    return self._without_heading(first, end)
                seam = end
            end += 1
        if end < len(self._pieces) and seam is not None:
            end = seam
        return self._without_heading(first, end) if end < len(self._pieces) else end

    def _without_heading(self, first: int, end: int) -> int:
        """A heading at the very end belongs to what follows it."""
        while end - 1 > first and self._block(end - 1).is_heading:
            end -= 1
        return end

    def _next(self, first: int, end: int) -> int:
        """Where the next passage begins: a few sentences back, in the same section."""
        start = end
        if end == len(self._pieces):
            return end
        while (
            start - 1 > first
            and self._section(start - 1) == self._section(end)
            and self._tokens(start - 1, end) <= self._limits.overlap_tokens
        ):
            start -= 1
        return start

    def _cut(self, first: int, end: int) -> Cut:
        block = self._block(first)
        lead, tokens = self._lead(first)
        return Cut(
            self._pieces[first].start,
            self._pieces[end - 1].end,
            lead,
            block.headings,
            block.page,
            tokens + self._tokens(first, end) + SPECIAL_TOKENS,
        )

    def _lead(self, first: int) -> tuple[str, int]:
        """Title and headings that the passage does not begin with itself, and their tokens."""
        block = self._block(first)
        path = block.headings[:-1] if block.is_heading else block.headings
        if self._title and (not path or path[0] != self._title):
            begins_with_it = block.is_heading and block.headings[-1:] == (self._title,)
            path = path if begins_with_it else (self._title, *path)
        if path not in self._leads:
            self._leads[path] = self._shortened(path)
        return self._leads[path]

    def _shortened(self, path: tuple[str, ...]) -> tuple[str, int]:
        """The path in one line, without its outermost parts where it would be too long."""
        most = self._limits.passage_tokens // LEAD_SHARE
        for start in range(len(path)):
            lead = PATH.join(path[start:])
            tokens = self._counter.count(lead)
            if tokens <= most:
                return lead, tokens
        return "", 0

    def _block(self, piece: int) -> Block:
        return self._blocks[self._pieces[piece].block]

    def _section(self, piece: int) -> tuple[str, ...]:
        return self._block(piece).headings

    def _tokens(self, first: int, end: int) -> int:
        return self._counts.between(self._pieces[first].start, self._pieces[end - 1].end)


def _pieces(text: str, blocks: Sequence[Block], counts: TokenCounts, most: int) -> Iterator[Piece]:
    """Sentences and lines, none with more than `most` tokens; a heading is one."""
    for index, block in enumerate(blocks):
        seams = [] if block.is_heading else SEAM.finditer(text, block.start, block.end)
        start = block.start
        for seam in seams:
            yield from _bounded(start, seam.start(), index, counts, most)
            start = seam.end()
        yield from _bounded(start, block.end, index, counts, most)


def _bounded(start: int, end: int, block: int, counts: TokenCounts, most: int) -> Iterator[Piece]:
    while start < end:
        cut_at = counts.nth_from(start, most)
        stop = end if cut_at is None or cut_at >= end or cut_at <= start else cut_at
        yield Piece(start, stop, block)
        start = stop
