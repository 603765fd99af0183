"""Documents made on the spot: PDF by hand, DOCX by python-docx, and broken ones of both."""

import io
import zipfile
import zlib
from collections.abc import Sequence

from docx import Document


def pdf(pages: Sequence[str], title: str | None = None) -> bytes:
    """A PDF with one text per page; lines are lines."""
    objects: list[bytes] = []
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources"
            b" << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * number)
        )
        lines = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").split("\n")
        drawn = " T* ".join(f"({line}) Tj" for line in lines)
        content = zlib.compress(f"BT /F1 12 Tf 14 TL 72 720 Td {drawn} ET".encode("latin-1"))
        objects.append(
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%b\nendstream"
            % (len(content), content)
        )
    if title is not None:
        objects.append(f"<< /Title ({title}) >>".encode())
    return _file(objects, len(objects) if title is not None else None)


def _file(objects: list[bytes], info: int | None) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    more = b" /Info %d 0 R" % info if info is not None else b""
    out += b"trailer\n<< /Size %d /Root 1 0 R%b >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        more,
        start,
    )
    return bytes(out)


def encrypted_pdf(pages: Sequence[str], password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(pages))))
    writer.encrypt(password, algorithm="AES-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def docx() -> bytes:
    """A title, two headings with a paragraph each, and a table."""
    file = Document()
    file.core_properties.title = "The tower"
    file.add_heading("The tower", 0)
    file.add_heading("Opening hours", 1)
    file.add_paragraph("The tower is open from May to October.")
    file.add_heading("Tickets", 1)
    file.add_paragraph("A ticket costs four euros.")
    table = file.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("Age", "Price"), ("Child", "free")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    return saved(file)


def saved(file) -> bytes:
    out = io.BytesIO()
    file.save(out)
    return out.getvalue()


def bomb(unpacked: int = 300 * 2**20) -> bytes:
    """A DOCX whose text unpacks to a great many zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("[Content_Types].xml", "<Types/>")
        with parts.open("word/document.xml", "w", force_zip64=True) as part:
            for _ in range(unpacked // 2**20):
                part.write(b"\0" * 2**20)
    return out.getvalue()
