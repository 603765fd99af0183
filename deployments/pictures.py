"""Pictures from strangers: decoded with limits, or refused with the field's name.

Place in the path: step 4, before any model sees a picture. Content decides what a file is, never
its name; the pixel count is read from the header and checked before a pixel is decoded. It does
not resize and does not fetch.
"""

import io
import warnings
from typing import TYPE_CHECKING

from core.errors import InvalidRequest
from core.pictures import MAX_BYTES, MAX_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MEDIA_TYPES = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/jpg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
}
MAX_SIDE = 16_384


def open_picture(
    data: bytes,
    param: str,
    max_pixels: int = MAX_PIXELS,
    *,
    declared: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> "Picture":
    """The first frame of a PNG, JPEG, WebP or GIF file, upright, in the file's own mode.

    Args:
        data: the file.
        param: the request field it came in, named by every error.
        max_pixels: most pixels (width times height) that are decoded.
        declared: the media type that the sender claims, if it does; one that names another
            format than the content is an error. Types that name no picture format claim nothing.
        max_bytes: most bytes of the file.

    Raises:
        InvalidRequest: empty, too large, broken, truncated, mislabelled, or not such a file.
    """
    from PIL import ImageOps

    if not data:
        raise InvalidRequest(f"'{param}' is empty", param)
    if len(data) > max_bytes:
        raise InvalidRequest(
            f"'{param}' has {len(data)} bytes; the limit is {max_bytes} bytes", param
        )
    picture = _header(data, param)
    claimed = MEDIA_TYPES.get((declared or "").partition(";")[0].strip().lower())
    if claimed is not None and claimed != picture.format:
        raise InvalidRequest(
            f"'{param}' is declared as {claimed} but its content is {picture.format}", param
        )
    _check_size(picture.size, param, max_pixels)
    try:
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # see `_header`
        raise _broken(param) from error


def as_rgb(picture: "Picture") -> "Picture":
    """`picture` in RGB; what is transparent becomes white, 16-bit grey becomes 8-bit."""
    from PIL import Image

    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    paper = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(paper, layer).convert("RGB")


def _header(data: bytes, param: str) -> "Picture":
    """The file opened, its pixels not yet decoded."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; `_check_size` refuses them.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise InvalidRequest(f"'{param}' is not a PNG, JPEG, WebP or GIF picture", param) from error
    except Image.DecompressionBombError as error:
        raise InvalidRequest(f"'{param}' has too many pixels", param) from error
    except Exception as error:
        # Decoders meet broken files with whatever they happen to raise (OSError, SyntaxError,
        # struct.error, zlib.error, KeyError ...): all of it is the file's fault.
        raise _broken(param) from error


def _check_size(size: tuple[int, int], param: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InvalidRequest(
            f"'{param}' has {width} x {height} pixels; the limit is {max_pixels} in all", param
        )
    if max(size) > MAX_SIDE:
        raise InvalidRequest(
            f"'{param}' has {width} x {height} pixels; the longest side may be {MAX_SIDE}", param
        )


def _broken(param: str) -> InvalidRequest:
    return InvalidRequest(f"'{param}' is broken or truncated: it cannot be decoded", param)
