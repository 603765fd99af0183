"""Plain text and Markdown: the text as it is, and where its paragraphs and headings are.

Place in the path: a reader of text that needs no conversion, so that citations point into what the
caller sent. It knows the parts of CommonMark that structure a page: headings, paragraphs, fenced
code. It renders nothing, and reads each line once.
"""

import re
from collections.abc import Iterator

from graphs.rag.blocks import Block
from graphs.rag.reading import Outline, Reading, clean_title, require_few, require_words

HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
EMPHASIS = re.compile(r"[*_`]+")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
MANY_HEADINGS = 2
"""From so many on, text that nobody named is Markdown: one `#` may be a comment."""


def looks_like_markdown(text: str) -> bool:
    """Whether text has the headings of Markdown, or a first line that is one."""
    headings = 0
    for _, line in _lines(text):
        match = HEADING.match(line)
        if match and match[2]:
            headings += 1
            if headings >= MANY_HEADINGS:
                return True
    first = next((line for _, line in _lines(text) if line.strip()), "")
    match = HEADING.match(first)
    return bool(match and match[2])


def read_text(text: str) -> Reading:
    """Paragraphs, as empty lines part them. Raises Unreadable for text without words."""
    require_words(text)
    found: list[Block] = []
    for paragraph in _paragraphs(text):
        found.append(paragraph)
        require_few(len(found))
    return Reading("text", text, found)


def read_markdown(text: str) -> Reading:
    """Paragraphs under their headings; the title is the first heading of the first level.

    Raises Unreadable for text without words.
    """
    require_words(text)
    page = _Page(text)
    for start, line in _lines(text):
        page.line(start, line)
    page.end_block(len(text))
    return Reading("markdown", text, page.blocks, clean_title(page.title))


class _Page:
    """Where the reader of Markdown is."""

    def __init__(self, text: str) -> None:
        self.blocks: list[Block] = []
        self.title: str | None = None
        self._text = text
        self._outline = Outline()
        self._fence = ""
        self._begun: int | None = None
        self._lines = 0

    def line(self, start: int, line: str) -> None:
        if self._fence:
            self._in_code(start, line)
        elif fence := FENCE.match(line):
            self.end_block(start)
            self._begun, self._fence = start, fence[1]
        elif heading := HEADING.match(line):
            self.end_block(start)
            self._heading(len(heading[1]), heading[2] or "", start, start + len(line))
        elif self._begun is not None and self._lines == 1 and (rule := UNDERLINE.match(line)):
            self._underlined(rule[1], start + len(line))
        elif line.strip():
            self._begun = start if self._begun is None else self._begun
            self._lines += 1
        else:
            self.end_block(start)

    def end_block(self, end: int) -> None:
        """The block that was begun, if any, is over."""
        if self._begun is not None:
            self._add(self._begun, end, is_heading=False)
        self._begun, self._lines = None, 0

    def _in_code(self, start: int, line: str) -> None:
        closing = FENCE.match(line)
        if closing and closing[1].startswith(self._fence) and not line.strip().strip(closing[1][0]):
            self._fence = ""
            self.end_block(start + len(line))

    def _underlined(self, rule: str, end: int) -> None:
        assert self._begun is not None
        start, self._begun, self._lines = self._begun, None, 0
        text = self._text[start:end].splitlines()[0]
        self._heading(1 if rule.startswith("=") else 2, text, start, end)

    def _heading(self, level: int, text: str, start: int, end: int) -> None:
        text = EMPHASIS.sub("", LINK.sub(r"\1", text)).strip()
        self._outline.enter(level, text)
        if level == 1 and self.title is None:
            self.title = text
        self._add(start, end, is_heading=True)

    def _add(self, start: int, end: int, *, is_heading: bool) -> None:
        start, end = _trimmed(self._text, start, end)
        if start < end:
            self.blocks.append(Block(start, end, self._outline.path, is_heading))
            require_few(len(self.blocks))


def _paragraphs(text: str) -> Iterator[Block]:
    begun: int | None = None
    for start, line in _lines(text):
        if line.strip():
            begun = start if begun is None else begun
        elif begun is not None:
            yield _block(text, begun, start)
            begun = None
    if begun is not None:
        yield _block(text, begun, len(text))


def _block(text: str, start: int, end: int) -> Block:
    start, end = _trimmed(text, start, end)
    return Block(start, end)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the space at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Where each line starts, and the line without its end."""
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, line.rstrip("\r\n")
        start += len(line)
