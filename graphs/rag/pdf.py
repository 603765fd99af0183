"""PDF: the text of its pages, by pypdf.

Place in the path: one reader among those of `graphs.rag.files`; it runs in a child process with
limits (`graphs.rag.reader`), because a PDF is a program of sorts. It draws nothing: pages that are
pictures have no text. Passwords are not asked for.
"""

import io
import re

from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError

from graphs.rag.reading import Reading, Unreadable, Writer

MAX_PAGES = 5_000
EMPTY_LINE = re.compile(r"\n[ \t]*\n")
HYPHENATED = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")
BROKEN = (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What pypdf raises for a file that is damaged, its own errors and Python's."""


def read_pdf(data: bytes) -> Reading:
    """The words of every page; each paragraph knows its page.

    Raises Unreadable for a file that is encrypted, damaged, too long, or without text.
    """
    try:
        return _read(PdfReader(io.BytesIO(data), strict=False))
    except BROKEN as error:
        raise Unreadable("the PDF is damaged") from error


def _read(file: PdfReader) -> Reading:
    # A file that only forbids printing opens with the empty password.
    if file.is_encrypted and not file.decrypt(""):
        raise Unreadable("the PDF is encrypted: save it without a password")
    count = len(file.pages)
    if count > MAX_PAGES:
        raise Unreadable(f"the PDF has {count:,} pages, and {MAX_PAGES:,} is the most")
    writer = Writer()
    for number, page in enumerate(file.pages, 1):
        for paragraph in EMPTY_LINE.split(_text(page, number)):
            writer.paragraph(HYPHENATED.sub("", paragraph), number)
    title = file.metadata.title if file.metadata else None
    return writer.reading("pdf", str(title) if title else None, count)


def _text(page: PageObject, number: int) -> str:
    try:
        return page.extract_text()
    except BROKEN as error:
        raise Unreadable(f"page {number} of the PDF is damaged") from error
