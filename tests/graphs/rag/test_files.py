"""Files: told apart by content, read to the same words, and refused with a reason."""

import pytest

from graphs.rag.files import Unsupported, read_file
from graphs.rag.hypertext import read_html
from graphs.rag.reading import Unreadable
from tests.graphs.rag import papers

HTML = """<!DOCTYPE html>
<html><head><title>The tower</title><style>p { color: red }</style></head>
<body><nav><a href=/>Home</a></nav>
<h1>The tower</h1><p>It is <b>very</b>
old &amp; high.
<h2>Tickets</h2><ul><li>four euros<li>free</ul>
<table><tr><th>Age<th>Price<tr><td>Child<td>free</table>
<script>alert("no")</script><pre>a
  b</pre></body></html>"""


def words(reading):
    return [
        (reading.text[block.start : block.end], block.headings, block.page)
        for block in reading.blocks
    ]


def test_a_page_is_read_as_a_person_would():
    reading = read_html(HTML)
    tower, tickets = ("The tower",), ("The tower", "Tickets")
    assert reading.title == "The tower"
    assert [(text, path) for text, path, _ in words(reading)] == [
        ("The tower", tower),
        ("It is very old & high.", tower),
        ("Tickets", tickets),
        ("four euros", tickets),
        ("free", tickets),
        ("Age | Price", tickets),
        ("Child | free", tickets),
        ("a\n  b", tickets),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 50_000 + "deep" + "</div>" * 50_000,
        "<p>deep" + "<b><i><u>" * 30_000,
        "</p></div></html>deep<<<>",
        "<html><head><meta name=x><body><p>deep",
    ],
)
def test_broken_and_deep_pages_are_read_all_the_same(page):
    assert "deep" in read_html(page).text


def test_pages_of_a_pdf_are_kept():
    reading = read_file(papers.pdf(["The tower is open.", "A ticket costs four euros."], "Tower"))
    assert (reading.kind, reading.pages, reading.title) == ("pdf", 2, "Tower")
    assert words(reading) == [
        ("The tower is open.", (), 1),
        ("A ticket costs four euros.", (), 2),
    ]


def test_a_word_document_has_headings_and_tables():
    reading = read_file(papers.docx())
    hours, tickets = ("The tower", "Opening hours"), ("The tower", "Tickets")
    assert (reading.kind, reading.title) == ("docx", "The tower")
    assert [(text, path) for text, path, _ in words(reading)] == [
        ("The tower", ("The tower",)),
        ("Opening hours", hours),
        ("The tower is open from May to October.", hours),
        ("Tickets", tickets),
        ("A ticket costs four euros.", tickets),
        ("Age | Price", tickets),
        ("Child | free", tickets),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        (b"\xef\xbb\xbfwords\r\nmore", "words\nmore"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b'<html><meta charset="iso-8859-5"><p>' + "Башня".encode("iso-8859-5"), "Башня"),
    ],
)
def test_text_is_decoded_as_it_was_written(data, text):
    assert read_file(data).text == text


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (papers.encrypted_pdf(["secret"], "password"), "encrypted"),
        (papers.pdf([""]), "no text"),
        (papers.pdf(["words"])[:200], "damaged"),
        (b"%PDF-1.7\nnothing more", "damaged"),
        (papers.bomb(), "unpacks to far more"),
        (papers.docx()[:-2000], "damaged"),
        (b"   ", "no text"),
    ],
)
def test_a_document_that_cannot_be_read_says_why(data, told):
    with pytest.raises(Unreadable, match=told):
        read_file(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
        b"\x7fELF" + bytes(60),
        b"words\x00words",
    ],
)
def test_other_kinds_of_files_are_told_what_to_send(data):
    with pytest.raises(Unsupported):
        read_file(data)


def test_a_pdf_that_only_forbids_printing_is_read():
    import io

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(papers.pdf(["open words"]))))
    writer.encrypt("", "owner", algorithm="AES-128")
    out = io.BytesIO()
    writer.write(out)
    assert read_file(out.getvalue()).text == "open words"
