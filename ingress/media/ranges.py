"""Byte ranges and validators of conditional requests (RFC 9110, sections 13 and 14).

Place in the path: delivery reads a request's headers with these. They decide what part of an
unchanging body is wanted; they send nothing.
"""

import re

from core.errors import RangeNotSatisfiable

RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last; None for the whole of `size` bytes.

    Several ranges, other units and malformed ranges are ignored, as section 14.2 allows.

    Raises:
        RangeNotSatisfiable: nothing of the body lies in the range.
    """
    match = RANGE.fullmatch((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"the body has {size} bytes")
    return start, end


def matches_any(header: str | None, etag: str) -> bool:
    """Whether `If-None-Match` names `etag`: the caller has these bytes already."""
    if header is None:
        return False
    return header.strip() == "*" or etag in ENTITY_TAG.findall(header)


def range_applies(if_range: str | None, etag: str) -> bool:
    """Whether a range still means the body that the caller knows. Dates do not: send it all."""
    return if_range is None or if_range.strip() == etag
