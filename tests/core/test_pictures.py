"""Pictures inside requests: the forms they come in, and what their headers say."""

import base64
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.pictures import MAX_BYTES, check_declared, picture_bytes, picture_header


def encoded(kind, size=(12, 8), mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, size, 200).save(file, kind, **options)
    return file.getvalue()


PNG = encoded("PNG")
BASE64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    ],
)
def test_the_header_says_what_pillow_says(kind, options):
    for size in ((1, 1), (123, 45), (300, 2000)):
        header = picture_header(encoded(kind, size, **options))
        assert (header.format, header.width, header.height) == (kind.lower(), *size)


@given(
    st.binary(max_size=200), st.sampled_from([b"", PNG[:8], b"\xff\xd8\xff", b"GIF89a", b"RIFF"])
)
def test_any_bytes_have_a_header_or_none(data, start):
    try:
        assert picture_header(start + data).pixels >= 0
    except ValueError as error:
        assert "not a PNG" in str(error)  # noqa: PT017  (either outcome is right)


@pytest.mark.parametrize(
    "value",
    [
        PNG,
        BASE64,
        BASE64[:20] + "\n" + BASE64[20:] + "\n",
        f"data:image/png;base64,{BASE64}",
        f"DATA:image/PNG;BASE64,{BASE64}",
        {"url": f"data:image/png;base64,{BASE64}"},
        {"url": f"data:image/png;base64,{BASE64}", "detail": "low"},
        f"data:application/octet-stream;base64,{BASE64}",
        f"data:;base64,{BASE64}",
    ],
)
def test_a_picture_comes_in_many_forms(value):
    assert picture_bytes(value) == PNG


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://example.com/a.png", "not fetched"),
        ({"url": "http://169.254.169.254/"}, "not fetched"),
        ("file:///etc/passwd", "not fetched"),
        ("not base64!", "not valid base64"),
        ("data:image/png,plain", "data:image/png;base64"),
        ("data:image/png;base64", "data:image/png;base64"),
        (f"data:image/jpeg;base64,{BASE64}", "declared as jpeg but the content is png"),
        (base64.b64encode(b"hello, world").decode(), "not a PNG"),
        ("", "not a PNG"),
        (7, "base64 or a data: URL"),
        (["x"], "base64 or a data: URL"),
        ({"file": "x"}, "just one field"),
        ({"url": "x", "path": "/etc/passwd"}, "just one field"),
        ("A" * (MAX_BYTES * 2), "more than"),
        (PNG + bytes(MAX_BYTES), "the limit is"),
        (PNG[:16] + b"\0\0\xff\xff\0\0\xff\xff", "65535 x 65535 pixels"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(value, reason):
    with pytest.raises(ValueError, match=reason):
        picture_bytes(value)


def test_only_picture_types_claim_anything():
    header = picture_header(PNG)
    check_declared(header, "application/octet-stream")
    check_declared(header, "")
    with pytest.raises(ValueError, match="declared as gif"):
        check_declared(header, "image/gif; x=1")
