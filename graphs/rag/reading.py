"""A document as its words: text, and where its paragraphs and headings are.

Place in the path: what every reader of a format makes, and what passages are cut from. Text is kept
exactly: a span of characters means the same in the document, in its passages and in citations. This
module reads no format.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.rag import MAX_BLOCKS, MAX_CHARACTERS, MAX_TITLE, Kind
from graphs.rag.blocks import MAX_HEADING, Block, Headings, blocks_of, outline_of

BETWEEN_BLOCKS = "\n\n"
SPACES = re.compile(r"\s+")
NOT_TEXT = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000)])
"""Characters that are no writing, and that PostgreSQL or JSON may not hold."""


class Unreadable(Exception):
    """A document that cannot be read; the message says why, to whoever sent it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a document.

    Args:
        blocks: in the order of the text, none overlapping.
        title: the document's own, if it has one.
        pages: how many it has, of formats that have pages.
    """

    kind: Kind
    text: str
    blocks: Sequence[Block]
    title: str | None = None
    pages: int | None = None

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Reading":
        """A reading that was JSON. Raises ValueError for a faulty `outline`."""
        facts = {name: document[name] for name in ("kind", "text", "title", "pages")}
        return cls(**facts, blocks=blocks_of(document["outline"], len(document["text"])))

    def document(self) -> dict[str, Any]:
        """It as JSON: `kind`, `text`, `title`, `pages`, `outline`."""
        return {
            "kind": self.kind,
            "text": self.text,
            "title": self.title,
            "pages": self.pages,
            "outline": outline_of(self.blocks),
        }


class Outline:
    """The headings that hold where a reader is."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []
        self.path: Headings = ()

    def enter(self, level: int, text: str) -> None:
        """A heading of `level` (1 is the outermost) begins here."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        if text:
            self._open.append((level, text[:MAX_HEADING]))
        self.path = tuple(text for _, text in self._open)


class Writer:
    """Builds text out of pieces, for formats whose own text is not for reading."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._pieces: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0

    def paragraph(self, text: str, page: int | None = None) -> None:
        """One paragraph; empty ones are none."""
        self._add(plain(text), page, is_heading=False)

    def heading(self, level: int, text: str, page: int | None = None) -> None:
        """A heading, under which what follows stands."""
        text = SPACES.sub(" ", plain(text)).strip()
        self.outline.enter(level, text)
        self._add(text, page, is_heading=True)

    def reading(self, kind: Kind, title: str | None, pages: int | None = None) -> Reading:
        """What was written. Raises Unreadable when there are no words in it."""
        text = "".join(self._pieces)
        require_words(text)
        return Reading(kind, text, self._blocks, clean_title(title), pages)

    def _add(self, text: str, page: int | None, *, is_heading: bool) -> None:
        text = text.strip()
        if not text:
            return
        if self._pieces:
            self._pieces.append(BETWEEN_BLOCKS)
            self._length += len(BETWEEN_BLOCKS)
        start, self._length = self._length, self._length + len(text)
        if self._length > MAX_CHARACTERS:
            raise too_long()
        require_few(len(self._blocks) + 1)
        self._pieces.append(text)
        self._blocks.append(Block(start, self._length, self.outline.path, is_heading, page))


def plain(text: str) -> str:
    """Without control characters and halves of characters."""
    return text.translate(NOT_TEXT)


def clean_title(title: str | None) -> str | None:
    """A title in one line, or None where it says nothing."""
    found = SPACES.sub(" ", plain(title or "")).strip()
    return found[:MAX_TITLE] or None


def require_words(text: str) -> None:
    """Raises Unreadable for a text without a letter or a digit."""
    if not any(character.isalnum() for character in text):
        raise Unreadable("there is no text in it (a scan has to be read by OCR first)")


def require_few(blocks: int) -> None:
    """Raises Unreadable for more paragraphs and headings than a document has."""
    if blocks > MAX_BLOCKS:
        raise Unreadable(f"it has over {MAX_BLOCKS:,} paragraphs: split it")


def too_long() -> Unreadable:
    return Unreadable(f"its text is over {MAX_CHARACTERS:,} characters: split it")
