"""Media in what steps of a workflow made: kept in the tenant's library, named in outputs.

Place in the path: between the orchestrator, which puts them away, and whoever reads a run. An
output has a small object where the model's answer had a file; it knows no models.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from auth.media import OwnedMedia
from core.errors import NotFound
from core.references import Missing, Reference, Room
from ingress.media.naming import HASH
from ingress.media.store import MediaStore

OBJECT = "media"
FACTS = ("id", "media_type", "bytes")
MOST_URLS = 100
"""In one answer; the others have their ids."""


def media_object(media: OwnedMedia) -> dict[str, Any]:
    """What stands in an output for a file."""
    return {
        "object": OBJECT,
        "id": media.hash,
        "media_type": media.media_type,
        "bytes": media.bytes,
    }


def is_media(value: Any) -> bool:
    """Whether a value stands for a file."""
    if not isinstance(value, dict) or value.get("object") != OBJECT:
        return False
    name = value.get("id")
    return isinstance(name, str) and HASH.fullmatch(name) is not None


def media_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value that stands for a file."""
    if is_media(value):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from media_in(child)


async def add_urls(told: dict[str, Any], store: MediaStore, tenant_id: str, origin: str) -> None:
    """Give every object of media a fresh signed URL; null where it expired or was deleted."""
    named = list(media_in(told))
    names = list(dict.fromkeys(value["id"] for value in named))[:MOST_URLS]
    found = await store.find_all(tenant_id, names)
    for value in named:
        if value["id"] in names:
            media = found.get(value["id"])
            value["url"] = None if media is None else store.url(media, origin)


async def named_media(
    store: MediaStore, tenant_id: str, name: str, reference: Reference
) -> OwnedMedia:
    """A tenant's media that a reference names. Raises Missing."""
    try:
        if not HASH.fullmatch(name):
            raise NotFound("no such media")
        return await store.find(tenant_id, name)
    except NotFound as error:
        raise Missing(f"'${{{reference.text}}}': there are no such media") from error


async def media_value(
    store: MediaStore,
    tenant_id: str,
    name: str,
    rest: Sequence[str | int],
    reference: Reference,
    room: Room,
) -> Any:
    """What a reference to media gives a step: base64, a `data:` URL, or a fact.

    Raises:
        Missing: no such media of this tenant, or no such fact.
        TooLarge: `room` does not hold it; it was not read.
    """
    media = await named_media(store, tenant_id, name, reference)
    if len(rest) == 1 and rest[0] in FACTS:
        return media_object(media)[str(rest[0])]
    if tuple(rest) not in ((), ("base64",), ("data_url",)):
        known = ", ".join(("base64", "data_url", *FACTS))
        raise Missing(f"'${{{reference.text}}}': media have {known}")
    room.take(base64_length(media.bytes))
    encoded = base64.b64encode(await store.read(media)).decode()
    return f"data:{media.media_type};base64,{encoded}" if tuple(rest) == ("data_url",) else encoded


def base64_length(size: int) -> int:
    """Characters of `size` bytes in base64."""
    return 4 * -(-size // 3)
