"""Recordings that a workflow names: how long they are, so that its estimate knows.

Place in the path: before it, under the plan. Each is read once, for the length that its headers
claim; in the plan a header that claims the same stands for it, so that no recording is in memory
while requests are looked at. What a step is still to make has no length yet.
"""

import asyncio
import base64
from collections.abc import Iterator, Mapping

from auth.media import OwnedMedia
from core.audio_length import stand_in
from core.errors import InvalidRequest, NotFound
from core.references import BadReference, Reference, references_in
from core.transcription import MAX_BYTES, claimed_ms
from core.workflow import Workflow
from ingress.media.naming import HASH
from ingress.media.store import MediaStore

KINDS = ("audio/", "video/")
MOST = 20
"""Recordings of one workflow that are looked at: of others the length is not known."""
AT_ONCE = 2
"""Recordings in memory, of all workflows that are being looked at."""


class Recordings:
    """Those of all tenants."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def stand_ins(self, tenant_id: str, workflow: Workflow) -> Mapping[str, str]:
        """By the id of a recording, base64 of what stands for it. Raises StoreUnavailable."""
        names = list(dict.fromkeys(_named(workflow)))
        found = await self._media.find_all(tenant_id, names)
        recordings = [found[name] for name in names if name in found and _is_one(found[name])]
        lengths = {media.hash: await self._length(media) for media in recordings[:MOST]}
        return {name: base64.b64encode(stand_in(ms)).decode() for name, ms in lengths.items() if ms}

    async def _length(self, media: OwnedMedia) -> int | None:
        try:
            async with self._gate:
                data = await self._media.read(media)
                return await asyncio.to_thread(claimed_ms, data, "file")
        except (InvalidRequest, NotFound):
            return None  # the step will say what is wrong with it


def _named(workflow: Workflow) -> Iterator[str]:
    for step in workflow.steps:
        try:
            for _, reference in references_in(step.input):
                if is_whole(reference):
                    yield str(reference.path[0])
        except BadReference:
            continue  # the plan says where


def is_whole(reference: Reference) -> bool:
    """Whether a reference gives a step a file of the library in base64."""
    if reference.root != "media" or not HASH.fullmatch(str(reference.path[0])):
        return False
    return reference.path[1:] in ((), ("base64",))


def _is_one(media: OwnedMedia) -> bool:
    return media.media_type.startswith(KINDS) and media.bytes <= MAX_BYTES
