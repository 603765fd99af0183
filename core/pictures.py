"""Pictures inside requests: their bytes, and their size by the header alone.

Place in the path: parsed by the gateway (step 1), so that admission knows how large a picture is
before anybody decodes it. It decodes no pixel: `deployments.pictures` does, with limits.
"""

import base64
import binascii
import struct
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 2**25
"""About 33 million: larger than most photographs, 100 MB when decoded."""
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
FORMATS = {media_type: name for name, media_type in MEDIA_TYPES.items()} | {"image/jpg": "jpeg"}

MARK, START_OF_SCAN = 0xFF, 0xDA
SOF_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE})
"""JPEG segments that hold the frame's size (ITU-T T.81, table B.1)."""
MAX_SEGMENTS = 1000
"""JPEG segments looked through: a file made of nothing else must not hold the gateway up."""


class Header(NamedTuple):
    """What the first bytes of a picture file say."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def picture_bytes(value: Any) -> bytes:
    """The file that a request field holds: bytes, base64, a `data:` URL, or {"url": one}.

    Raises ValueError, in words for the caller: a pydantic validator may call this.
    """
    if isinstance(value, dict):
        unknown = set(value) - {"url", "detail"}
        if unknown or "url" not in value:
            raise ValueError("an object must have just one field, 'url'")
        value = value["url"]
    if isinstance(value, bytes):
        return _checked(value, "")
    if not isinstance(value, str):
        raise ValueError("must be base64 or a data: URL")  # noqa: TRY004  (pydantic's protocol)
    if value[:5].lower() != "data:":
        return _checked(_decoded(value), "")
    declared, comma, text = value[5:].partition(",")
    if not comma or not declared.lower().endswith(";base64"):
        raise ValueError("a data: URL must look like data:image/png;base64,...")
    return _checked(_decoded(text), declared.partition(";")[0])


def picture_header(data: bytes) -> Header:
    """Format and size of a PNG, JPEG, WebP or GIF file. Raises ValueError for anything else."""
    for magic, name, size in READERS:
        if data.startswith(magic):
            try:
                return Header(name, *size(data))
            except (struct.error, IndexError):
                break
    raise ValueError("not a PNG, JPEG, WebP or GIF picture, or its header is broken")


def check_declared(header: Header, media_type: str) -> None:
    """Raise ValueError when `media_type` names another picture format than the content."""
    declared = FORMATS.get(media_type.partition(";")[0].strip().lower())
    if declared is not None and declared != header.format:
        raise ValueError(f"declared as {declared} but the content is {header.format}")


def _checked(data: bytes, media_type: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise ValueError(f"has {len(data)} bytes; the limit is {MAX_BYTES} bytes")
    header = picture_header(data)
    check_declared(header, media_type)
    if header.pixels > MAX_PIXELS:
        raise ValueError(
            f"has {header.width} x {header.height} pixels; the limit is {MAX_PIXELS} in all"
        )
    return data


def _decoded(text: str) -> bytes:
    if text[:8].lower().startswith(("http://", "https://", "file://")):
        raise ValueError("remote pictures are not fetched: send base64 or a data: URL")
    if len(text) * 3 // 4 > MAX_BYTES + 3:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    try:
        # Clients wrap lines; `validate` then still refuses what is not base64.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is not valid base64") from error


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp(data: bytes) -> tuple[int, int]:
    """RFC 9649: simple lossy, lossless, and extended files."""
    kind = data[12:16]
    if data[8:12] != b"WEBP":
        raise IndexError
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk the segments up to the frame header."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        mark, marker = data[at], data[at + 1]
        if mark != MARK or marker == START_OF_SCAN:
            raise IndexError
        if marker in SOF_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        fill = marker == MARK
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise IndexError


READERS = (
    (b"\x89PNG\r\n\x1a\n", "png", _png),
    (b"\xff\xd8\xff", "jpeg", _jpeg),
    (b"GIF8", "gif", _gif),
    (b"RIFF", "webp", _webp),
)

PictureField = Annotated[
    bytes,
    BeforeValidator(picture_bytes),
    WithJsonSchema(
        {
            "description": "PNG, JPEG, WebP or GIF: base64, a data: URL, or an object with one.",
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "required": ["url"],
                    "properties": {"url": {"type": "string"}, "detail": {"type": "string"}},
                },
            ],
        }
    ),
]
"""A picture in a request: bytes from here on."""
