"""Reading: blocks become lines, and printed text is read."""

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from core.errors import InvalidRequest
from deployments.reading import Block, Reader, ReadingSettings, lines, text_of


def block(text: str, left: float, top: float, height: float = 20, width: float = 50) -> Block:
    right, bottom = left + width, top + height
    return Block(text, ((left, top), (right, top), (right, bottom), (left, bottom)), 0.9)


def written(texts: dict[tuple[int, int], str], size: tuple[int, int], height: int = 28) -> bytes:
    picture = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(height)
    for place, text in texts.items():
        pen.text(place, text, fill="black", font=font)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_blocks_beside_each_other_are_one_line_from_left_to_right():
    blocks = [block("world", 100, 12), block("below", 0, 60), block("hello", 0, 10)]
    assert text_of(blocks) == "hello world\nbelow"


def test_blocks_that_only_touch_are_two_lines():
    assert text_of([block("a", 0, 0), block("b", 10, 15)]) == "a\nb"


def test_no_blocks_are_no_text():
    assert (text_of([]), lines([])) == ("", [])


@pytest.fixture(scope="module")
def reader() -> Reader:
    pytest.importorskip("rapidocr")
    return Reader(ReadingSettings(threads=1))


async def test_printed_words_and_digits_are_read_where_they_stand(reader):
    data = written(
        {(20, 20): "Invoice 4711", (340, 22): "Total 98.50", (20, 90): "Thank you"}, (560, 140)
    )
    blocks, pixels = await reader.read(data, "image")
    assert text_of(blocks) == "Invoice 4711 Total 98.50\nThank you"
    assert pixels == 560 * 140
    total = next(b for b in blocks if b.text.startswith("Total"))
    assert abs(total.left - 340) < 12
    assert abs(total.top - 22) < 16
    assert all(0.5 <= b.confidence <= 1 for b in blocks)


async def test_a_small_picture_with_two_digits_is_read(reader):
    blocks, _ = await reader.read(written({(14, 18): "42"}, (64, 64), 24), "image")
    assert text_of(blocks) == "42"


async def test_an_empty_page_has_no_text(reader):
    assert await reader.read(written({}, (200, 200)), "image") == ([], 40_000)


async def test_a_broken_file_is_refused_and_the_reader_lives_on(reader):
    data = written({(20, 20): "fine"}, (200, 80))
    with pytest.raises(InvalidRequest, match="image"):
        await reader.read(data[:100], "image")
    assert text_of((await reader.read(data, "image"))[0]) == "fine"
