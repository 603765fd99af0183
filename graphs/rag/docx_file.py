"""DOCX: paragraphs, headings and tables of a Word document, by python-docx.

Place in the path: one reader among those of `graphs.rag.files`; it runs in a child process with
limits (`graphs.rag.reader`). A DOCX is a zip of XML: how much it unpacks to is looked at before
anything is unpacked. Headers, footers, comments and pictures are left out.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator

from docx import Document
from docx.document import Document as WordDocument
from docx.opc.exceptions import OpcError
from docx.table import Table
from docx.text.paragraph import Paragraph

from graphs.rag.reading import Reading, Unreadable, Writer

MAX_UNPACKED_BYTES = 200 * 2**20
MAX_PARTS = 5_000
MAX_RATIO = 200
"""Unpacked to packed, of one part: Word's own XML is below 50."""
SMALL_BYTES = 2**20
"""A part that unpacks to no more may be of any ratio."""
HEADING_STYLE = re.compile(r"(?:heading|überschrift|titre|título)\s*(\d)", re.IGNORECASE)
BROKEN = (
    *(OpcError, SyntaxError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError),
)
"""What comes of a damaged file; lxml's errors of syntax are Python's."""


def read_docx(data: bytes) -> Reading:
    """Its paragraphs under their headings, tables row by row.

    Raises Unreadable for a file that is damaged, unpacks to too much, or has no text.
    """
    try:
        _require_sane(data)
        return _read(Document(io.BytesIO(data)))
    except BROKEN as error:
        raise Unreadable("the DOCX is damaged") from error


def _require_sane(data: bytes) -> None:
    """Look at the zip's table of contents, before anything is unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        infos = parts.infolist()
    if any(info.flag_bits & 1 for info in infos):
        raise Unreadable("the DOCX is encrypted: save it without a password")
    unpacked = sum(info.file_size for info in infos)
    bomb = any(info.file_size > max(SMALL_BYTES, MAX_RATIO * info.compress_size) for info in infos)
    if bomb or unpacked > MAX_UNPACKED_BYTES or len(infos) > MAX_PARTS:
        raise Unreadable("the DOCX unpacks to far more than a document")


def _read(file: WordDocument) -> Reading:
    writer = Writer()
    for item in file.iter_inner_content():
        if isinstance(item, Table):
            for row in _rows(item):
                writer.paragraph(row)
        else:
            _paragraph(item, writer)
    return writer.reading("docx", file.core_properties.title)


def _paragraph(paragraph: Paragraph, writer: Writer) -> None:
    level = _level(paragraph)
    if level is None:
        writer.paragraph(paragraph.text)
    else:
        writer.heading(level, paragraph.text)


def _level(paragraph: Paragraph) -> int | None:
    """Of a heading: 1 is the outermost, and a title stands above it."""
    style = paragraph.style
    name = (style.name or "") if style is not None else ""
    if name == "Title":
        return 1
    match = HEADING_STYLE.match(name)
    return int(match[1]) + 1 if match else None


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        seen: set[int] = set()
        for cell in row.cells:  # merged cells come once for each place they take
            if id(cell._tc) not in seen:  # noqa: SLF001  # the one thing that says they are one
                seen.add(id(cell._tc))  # noqa: SLF001
                cells.append(" ".join(cell.text.split()))
        if any(cells):
            yield " | ".join(cells)
