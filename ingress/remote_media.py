"""Remote media in JSON requests: URLs become `data:` URLs before a request is looked at.

Place in the path: between the document and the `Call`, for routes whose requests hold media. After
it a request means the same for ever: its cache key covers the bytes, and engines fetch nothing.
"""

import base64
from collections.abc import Iterator
from typing import Any

from core.errors import InvalidRequest
from ingress.fetch import MediaFetcher

MAX_MEDIA = 16
"""Remote media of one request."""
REMOTE = ("http:", "https:")
PARTS = {"image_url": "image", "audio_url": "audio", "video_url": "video"}
"""Parts of a chat message that hold media, and the family of each."""

Slot = tuple[Any, str | int, str, str]
"""Where a URL is (an object and its key, or a list and its index), its family, and its name in
errors."""


class RemoteMedia:
    """Fetches what requests point to."""

    def __init__(self, fetcher: MediaFetcher) -> None:
        self._fetcher = fetcher

    async def inline(self, document: dict[str, Any], *fields: str, family: str = "image") -> None:
        """Replace remote URLs in `fields`, plain, as `{"url": …}`, or a list of these.

        A field of an object in the document is named with a dot. Raises InvalidRequest naming it.
        """
        await self._replace(
            [slot for field in fields for slot in _field_slots(document, field, family)]
        )

    async def inline_chat(self, document: dict[str, Any]) -> None:
        """Replace remote URLs in the parts of a chat's messages. Raises InvalidRequest."""
        await self._replace(list(_chat_slots(document)))

    async def _replace(self, slots: list[Slot]) -> None:
        """One after the other: what the first takes is not there for the next."""
        if len(slots) > MAX_MEDIA:
            raise InvalidRequest(f"at most {MAX_MEDIA} media are fetched", slots[MAX_MEDIA][3])
        left = self._fetcher.max_bytes
        for holder, key, family, param in slots:
            media = await self._fetcher.fetch(holder[key], param, (family,), left)
            left -= len(media.data)
            content = base64.b64encode(media.data).decode()
            holder[key] = f"data:{media.media_type};base64,{content}"


def _chat_slots(document: dict[str, Any]) -> Iterator[Slot]:
    for i, message in enumerate(_list(document.get("messages"))):
        content = message.get("content") if isinstance(message, dict) else None
        for j, part in enumerate(_list(content)):
            for key, family in PARTS.items():
                if isinstance(part, dict) and key in part:
                    yield from _slots(part, key, family, f"messages.{i}.content.{j}.{key}")


def _field_slots(document: dict[str, Any], field: str, family: str) -> Iterator[Slot]:
    """The places of a field, which may be a list, or be in an object."""
    outer, _, inner = field.rpartition(".")
    holder = document.get(outer) if outer else document
    if not isinstance(holder, dict):
        return
    values = holder.get(inner)
    if isinstance(values, list):
        for i in range(len(values)):
            yield from _slots(values, i, family, f"{field}.{i}")
    elif inner in holder:
        yield from _slots(holder, inner, family, field)


def _slots(holder: Any, key: str | int, family: str, param: str) -> Iterator[Slot]:
    """The place of a remote URL, if there is one; whatever else is there is left to validation."""
    value = holder[key]
    if isinstance(value, dict):
        if "url" in value:
            yield from _slots(value, "url", family, f"{param}.url")
    elif isinstance(value, str) and value.lstrip()[:6].lower().startswith(REMOTE):
        yield holder, key, family, param


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
