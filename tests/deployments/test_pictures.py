"""Pictures from strangers: what is refused before it costs memory, and what is made of the rest."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from core.errors import InvalidRequest
from deployments.pictures import MAX_SIDE, as_rgb, open_picture

RED = (255, 0, 0)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, and has none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def refusal(data: bytes, **options) -> str:
    with pytest.raises(InvalidRequest) as caught:
        open_picture(data, "image", **options)
    assert caught.value.param == "image"
    return caught.value.message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_allowed_format_is_decoded(kind):
    picture = open_picture(encoded(Image.new("RGB", (12, 8), RED), kind), "image")
    assert picture.size == (12, 8)
    pixel: Any = as_rgb(picture).getpixel((5, 4))
    assert all(abs(a - b) < 8 for a, b in zip(pixel, RED, strict=True))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused_by_their_content(kind):
    assert "not a PNG, JPEG, WebP or GIF" in refusal(encoded(Image.new("RGB", (16, 16)), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_refused(kind, share):
    whole = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), kind)
    refusal(whole[: int(len(whole) * share)])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x00" * 1000, b"<svg/>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
def test_what_is_no_picture_is_refused(data):
    refusal(data)


def test_any_flipped_byte_gives_a_picture_or_a_refusal_and_nothing_else():
    whole = bytearray(encoded(Image.effect_noise((24, 24), 80).convert("RGB"), "PNG"))
    for at in range(len(whole)):
        broken = bytes(whole[:at]) + bytes([whole[at] ^ 0xFF]) + bytes(whole[at + 1 :])
        try:
            open_picture(broken, "image", max_pixels=10_000)
        except InvalidRequest as error:
            assert error.param == "image"  # noqa: PT017  (either outcome is right)


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (100_000, 200), (8_000, 8_000)])
def test_too_many_pixels_are_refused_by_the_header_alone(width, height):
    message = refusal(png_claiming(width, height))
    assert "pixels" in message


def test_a_side_has_a_limit_even_where_the_pixels_are_few():
    assert str(MAX_SIDE) in refusal(png_claiming(MAX_SIDE + 1, 1))


def test_a_bomb_of_few_bytes_is_refused():
    bomb = encoded(Image.new("1", (10_000, 10_000)), "PNG")
    assert len(bomb) < 20_000
    assert "10000 x 10000" in refusal(bomb)


def test_the_callers_own_limits_hold():
    picture = encoded(Image.new("RGB", (100, 100)), "PNG")
    assert "the limit is 9999" in refusal(picture, max_pixels=9_999)
    assert "the limit is 10 bytes" in refusal(picture, max_bytes=10)
    assert open_picture(picture, "image", max_pixels=10_000).size == (100, 100)


def test_a_mislabelled_file_is_refused_and_an_honest_one_is_not():
    jpeg = encoded(Image.new("RGB", (9, 9)), "JPEG")
    assert refusal(jpeg, declared="image/png") == (
        "'image' is declared as PNG but its content is JPEG"
    )
    for honest in ("image/jpeg", "image/jpg", "IMAGE/JPEG; q=1", "application/octet-stream", None):
        assert open_picture(jpeg, "image", declared=honest).size == (9, 9)


def test_a_photograph_taken_sideways_stands_upright():
    sideways = Image.new("RGB", (40, 20))
    exif = sideways.getexif()
    exif[0x0112] = 6
    assert open_picture(encoded(sideways, "JPEG", exif=exif), "image").size == (20, 40)


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, "blue")]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert as_rgb(open_picture(moving, "image")).getpixel((5, 5)) == RED


def test_transparency_becomes_white_and_depth_becomes_eight_bits():
    clear = open_picture(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"), "image")
    assert as_rgb(clear).getpixel((0, 0)) == (255, 255, 255)
    deep = open_picture(encoded(Image.new("I;16", (4, 4), 40_000), "PNG"), "image")
    assert as_rgb(deep).getpixel((0, 0)) == (156, 156, 156)
