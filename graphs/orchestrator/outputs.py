"""Outputs of steps: what a model answered, as other steps and users read it.

Place in the path: after step 5 of a step's call. Files in an answer go to the tenant's library and
leave a small object behind; what is large goes there as a whole. It knows no models: a file is
what begins like one.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from auth.principal import Principal
from core.errors import CarillonError
from core.plain import without_nul
from core.references import Room
from ingress.media.kinds import sniff
from ingress.media.store import MediaStore
from ingress.path import Answer
from ingress.workflow_media import media_object

LARGE = 64 * 2**10
"""Bytes of JSON that a row holds; what is larger is a file of the tenant's."""
SHORTEST_FILE = 64
"""Characters of base64: less is no picture and no sound."""
BEGINNING = 680
"""Characters that show what a file is; a multiple of four."""
DEEPEST = 100
NUL = b"\\u0000"
"""As JSON has it. PostgreSQL keeps none."""
JSON_TYPE = "application/json"
DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(;[\w.=+-]+)*;base64,")


@dataclass(frozen=True, slots=True)
class Made:
    """What a call made: in the row, or in the library under `blob`."""

    output: Any = field(default=None, repr=False)
    blob: str | None = None
    blobs: frozenset[str] = frozenset()
    """Everything of it that is in the library."""


class Outputs:
    """Puts answers away, and reads them again."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media

    async def kept(self, principal: Principal, answer: Answer) -> Made:
        """An answer's output. Raises StorageFull."""
        kind = answer.media_type.partition(";")[0].strip().lower()
        if kind == JSON_TYPE or kind.endswith("+json"):
            return await self._document(principal, answer.body)
        if kind.startswith("text/"):
            text = without_nul(answer.body.decode(errors="replace"))
            return await self._sized(principal, {"text": text})
        media = await self._put(principal, answer.body, answer.media_type)
        return Made({"media": media}, blobs=frozenset({media["id"]}))

    async def read(self, tenant_id: str, made: Made, room: Room | None = None) -> Any:
        """An output, wherever it is.

        Raises NotFound when the library's has expired; TooLarge when `room` does not hold it.
        """
        if made.blob is None:
            return made.output
        media = await self._media.find(tenant_id, made.blob)
        if room is not None:
            room.take(media.bytes)
        return orjson.loads(await self._media.read(media))

    async def _document(self, principal: Principal, body: bytes) -> Made:
        output, files = await asyncio.to_thread(_opened, body)
        blobs: set[str] = set()
        for file in files:
            told = await self._put(principal, file.data, file.media_type)
            file.holder[file.key] = told
            blobs.add(told["id"])
        return await self._sized(principal, _with_text(output), blobs)

    async def _sized(
        self, principal: Principal, output: Any, blobs: set[str] | frozenset[str] = frozenset()
    ) -> Made:
        data = await asyncio.to_thread(orjson.dumps, output)
        if len(data) <= LARGE:
            return Made(output, blobs=frozenset(blobs))
        whole = await self._put(principal, data, JSON_TYPE)
        return Made(blob=whole["id"], blobs=frozenset({*blobs, whole["id"]}))

    async def _put(self, principal: Principal, data: bytes, media_type: str) -> dict[str, Any]:
        media = await self._media.put(principal, data, media_type)
        return media_object(media)


@dataclass(frozen=True, slots=True)
class _File:
    """A file inside a document, and where it stands."""

    holder: Any
    key: Any
    data: bytes = field(repr=False)
    media_type: str


def _opened(body: bytes) -> tuple[Any, list[_File]]:
    try:
        output = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CarillonError("the model's answer is not the JSON that it says it is") from error
    files = list(_files(output, 0))
    if NUL in body:
        output = without_nul(output)
        files = list(_files(output, 0))
    return output, files


def _files(value: Any, depth: int) -> Iterator[_File]:
    if depth > DEEPEST:
        raise CarillonError(f"the model's answer is more than {DEEPEST} levels deep")
    if not isinstance(value, dict | list):
        return
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        if isinstance(child, str):
            if (found := _file(child)) is not None:
                yield _File(value, key, *found)
        else:
            yield from _files(child, depth + 1)


def _file(text: str) -> tuple[bytes, str] | None:
    """The bytes in a text that is a file in base64, and their type; None for other texts."""
    if len(text) < SHORTEST_FILE:
        return None
    prefix = DATA_URL.match(text)
    start = prefix.end() if prefix else 0
    try:
        kind = sniff(base64.b64decode(text[start : start + BEGINNING], validate=True))
        return (
            None
            if kind is None
            else (base64.b64decode(text[start:], validate=True), kind.media_type)
        )
    except (binascii.Error, ValueError):
        return None


def _with_text(output: Any) -> Any:
    """A chat's or a completion's words under `text` too, where steps look for words."""
    choices = output.get("choices") if isinstance(output, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return output
    message = choices[0].get("message")
    words = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    return {"text": words} | output if isinstance(words, str) else output
