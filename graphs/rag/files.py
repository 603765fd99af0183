"""Files: what one is, by its content, and who reads it.

Place in the path: inside the reading process. A name or a media type is a caller's claim; the first
bytes are a fact. It reads no format itself.
"""

import codecs
import io
import re
import zipfile
from collections.abc import Callable

from core.rag import MAX_CHARACTERS, Format, Kind
from graphs.rag.hypertext import read_html
from graphs.rag.markup import looks_like_markdown, read_markdown, read_text
from graphs.rag.reading import Reading, Unreadable, too_long

HEAD_BYTES = 4096
PDF_HEAD_BYTES = 1024
"""Where readers look for `%PDF-`: some files begin with something else."""
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP = b"PK\x03\x04"
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Longer ones first where one begins with another."""
HTML = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
READABLE = "PDF, DOCX, HTML, Markdown or text"


class Unsupported(Unreadable):
    """A file of a kind that is not read here."""


def read_file(data: bytes) -> Reading:
    """A file's words. Raises Unreadable, and Unsupported for other kinds of files."""
    kind = kind_of(data)
    if kind == "pdf":
        from graphs.rag.pdf import read_pdf  # noqa: PLC0415  # only who needs it waits for it

        return read_pdf(data)
    if kind == "docx":
        from graphs.rag.docx_file import read_docx  # noqa: PLC0415

        return read_docx(data)
    return read_words(decoded(data), None)


def kind_of(data: bytes) -> Kind | None:
    """`pdf` or `docx`; None for what may be text. Raises Unsupported."""
    if b"%PDF-" in data[:PDF_HEAD_BYTES]:
        return "pdf"
    if data.startswith(ZIP):
        if _is_word(data):
            return "docx"
        raise Unsupported(f"send {READABLE}: this is another kind of zip file")
    if data.startswith(OLE):
        raise Unsupported(
            "this is an encrypted or an old Office file: save it as DOCX, without a password"
        )
    return None


def read_words(text: str, format_: Format | None) -> Reading:
    """Text in a format, or in the one that it seems to be in. Raises Unreadable."""
    if len(text) > MAX_CHARACTERS:
        raise too_long()
    return READERS[format_ or format_of(text)](text)


READERS: dict[Format, Callable[[str], Reading]] = {
    "text": read_text,
    "markdown": read_markdown,
    "html": read_html,
}


def format_of(text: str) -> Format:
    """What text seems to be written in."""
    if HTML.match(text[:HEAD_BYTES]):
        return "html"
    return "markdown" if looks_like_markdown(text) else "text"


def decoded(data: bytes) -> str:
    """Bytes as text: by their mark, by what a page says of itself, as UTF-8, else as Western.

    Raises Unsupported for what is not text.
    """
    text = _decoded(data)
    if CONTROL.search(text):
        raise Unsupported(f"send {READABLE}: this is none of them")
    return text.replace("\r\n", "\n").replace("\x1b", "")


def _decoded(data: bytes) -> str:
    for mark, name in BOMS.items():
        if data.startswith(mark):
            return _as(data, name)
    try:
        return data.decode()
    except UnicodeDecodeError:
        said = CHARSET.search(data[:HEAD_BYTES])
    return _as(data, said[1].decode() if said else "cp1252")


def _as(data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
        text.encode()  # some encodings know halves of characters
    except (UnicodeError, LookupError) as error:
        raise Unsupported(f"send text in UTF-8: this is not {encoding}") from error
    return text


def _is_word(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            return "word/document.xml" in parts.namelist()
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise Unsupported("the zip file is damaged") from error
