"""Exhibition: a workflow's pictures into the media store, and its rows into the gallery.

Place in the path: after step 5, when the call is settled. All of it is kept, or none: what was put
before something failed is taken back. It signs no URLs and knows no HTTP.
"""

import asyncio
import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from auth.gallery import GalleryBook, NewItem
from auth.media import OwnedMedia
from auth.principal import Principal
from core.errors import CarillonError
from ingress.media.store import MediaStore

BYTES = "b64_json"
STAGE_TYPE = "image/png"
ID_LENGTH = 24

Document = dict[str, Any]
Kept = list[tuple[Document, OwnedMedia]]
"""Objects of an answer, with the media of their pictures."""


class _Picture(NamedTuple):
    """A picture of an answer, and the object that it is in."""

    holder: Document
    data: bytes
    hash: str
    media_type: str


class Exhibition:
    """The media store and the gallery."""

    def __init__(self, media: MediaStore, gallery: GalleryBook) -> None:
        self._media = media
        self._gallery = gallery
        self._background: set[asyncio.Future[Kept]] = set()

    async def keep(self, principal: Principal, body: Document, tags: Sequence[str] | None) -> Kept:
        """Put every picture of `body` away; each object of it that holds one gets its `media`.

        Args:
            tags: of the gallery's items; None keeps the pictures out of the gallery.

        Returns: those objects, with their media.

        Raises:
            StorageFull: they do not fit; nothing was kept.
        """
        # Carried to its end even if the caller goes away: all of it is kept, or none.
        keeping = asyncio.ensure_future(self._keep(principal, body, tags))
        self._background.add(keeping)
        keeping.add_done_callback(self._background.discard)
        return await asyncio.shield(keeping)

    async def _keep(self, principal: Principal, body: Document, tags: Sequence[str] | None) -> Kept:
        pictures = await asyncio.to_thread(lambda: list(_pictures(body)))
        before = await self._media.find_all(
            principal.tenant_id, {picture.hash for picture in pictures}
        )
        await self._require_room(principal, [p for p in pictures if p.hash not in before])
        kept: Kept = []
        try:
            for picture in pictures:
                media = await self._media.put(principal, picture.data, picture.media_type)
                picture.holder["media"] = media.hash
                kept.append((picture.holder, media))
            finals = list(_finals(body, kept))
            if tags is not None:
                await self._hang(principal, body, tags)
        except CarillonError:
            for blob in {media.hash for _, media in kept} - before.keys():
                with suppress(CarillonError):  # the plan's retention ends it then
                    await self._media.discard(principal.tenant_id, blob)
            raise
        return kept + finals

    async def _require_room(self, principal: Principal, new: list[_Picture]) -> None:
        size = sum({picture.hash: len(picture.data) for picture in new}.values())
        if size:
            await self._media.require_room(principal, size)

    async def _hang(self, principal: Principal, body: Document, tags: Sequence[str]) -> None:
        items = [_item(principal.tenant_id, body, picture, tags) for picture in body["data"]]
        await self._gallery.add(principal.tenant_id, items)
        for picture, item in zip(body["data"], items, strict=True):
            picture["gallery_id"] = item.id


def drop_bytes(body: Document) -> None:
    """Leave the pictures themselves out of an answer."""
    for picture in body["data"]:
        for holder in (picture, *picture["stages"]):
            holder.pop(BYTES, None)


def _pictures(body: Document) -> Iterator[_Picture]:
    """Finished ones in the format of the answer, those of stages as PNG.

    Decodes and hashes megabytes: not for the event loop.
    """
    for picture in body["data"]:
        yield _picture(picture, f"image/{body['output_format']}")
        for stage in picture["stages"]:
            if BYTES in stage:
                yield _picture(stage, STAGE_TYPE)


def _picture(holder: Document, media_type: str) -> _Picture:
    data = base64.b64decode(holder[BYTES])
    return _Picture(holder, data, hashlib.sha256(data).hexdigest(), media_type)


def _finals(body: Document, kept: Kept) -> Iterator[tuple[Document, OwnedMedia]]:
    """Stages whose picture is the finished one."""
    media = {id(holder): owned for holder, owned in kept}
    for picture in body["data"]:
        for stage in picture["stages"]:
            if stage.get("is_final"):
                stage["media"] = picture["media"]
                yield stage, media[id(picture)]


def _item(tenant_id: str, body: Document, picture: Document, tags: Sequence[str]) -> NewItem:
    stages = [{k: v for k, v in stage.items() if k != BYTES} for stage in picture["stages"]]
    named = [stage["media"] for stage in stages if "media" in stage]
    return NewItem(
        id=_id(tenant_id, body["id"], picture["index"]),
        hash=picture["media"],
        hashes=sorted({picture["media"], *named}),
        prompt=picture["prompt"] or "",
        description=picture["text"],
        seed=picture["seed"],
        model=body["model"],
        size=picture["size"],
        stages=stages,
        tags=list(dict.fromkeys(tags)),
    )


def _id(tenant_id: str, run: str, index: int) -> str:
    """The same for the same picture of the same run, which the cache may answer again."""
    digest = hashlib.sha256(f"{tenant_id} {run} {index}".encode()).hexdigest()
    return f"pic-{digest[:ID_LENGTH]}"
