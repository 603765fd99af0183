"""Names of media in URLs: `<sha-256>.<extension>`.

Place in the path: beside the store. Whatever is not exactly such a name names nothing, so no text
of a caller's ever becomes part of a path in the store or of a query.
"""

import re

from auth.media import OwnedMedia
from core.errors import NotFound
from ingress.media.kinds import kind_of

HASH = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"([0-9a-f]{64})\.[a-z0-9]{2,4}")


def media_name(media: OwnedMedia) -> str:
    """What URLs call it."""
    return f"{media.hash}.{kind_of(media.media_type).extension}"


def hash_in(name: str) -> str:
    """The hash in a name. Raises NotFound."""
    match = NAME.fullmatch(name)
    if match is None:
        raise NotFound("no such media")
    return match.group(1)


def plain_hash(text: str) -> str:
    """`text` if it is a hash. Raises NotFound."""
    if not HASH.fullmatch(text):
        raise NotFound("no such media")
    return text
