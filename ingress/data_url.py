"""`data:` URLs (RFC 2397): media inside the request itself.

Place in the path: step 1, beside `ingress.fetch`. What such a URL says about its type is only a
claim.
"""

import base64
import binascii

from core.errors import InvalidRequest

SCHEME = "data:"


def is_data_url(url: str) -> bool:
    return url[: len(SCHEME)].lower() == SCHEME


def decode_data_url(url: str, param: str, max_bytes: int) -> bytes:
    """The bytes in `url`. Raises InvalidRequest naming `param`."""
    head, comma, content = url[len(SCHEME) :].partition(",")
    if not comma:
        raise InvalidRequest(f"'{param}': a data: URL needs a comma before its data", param)
    if head.rpartition(";")[2].strip().lower() != "base64":
        raise InvalidRequest(f"'{param}': only base64 data: URLs are taken", param)
    # Judged before decoding: four characters are three bytes.
    if len(content) > (max_bytes // 3 + 1) * 4:
        raise too_long(param, max_bytes)
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"'{param}': the data: URL is not valid base64", param) from error
    if len(data) > max_bytes:
        raise too_long(param, max_bytes)
    return data


def too_long(param: str, max_bytes: int) -> InvalidRequest:
    return InvalidRequest(f"'{param}': the media are over the limit of {max_bytes} bytes", param)
