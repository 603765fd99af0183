"""The conversation: its items, in order, and what of them a voice call is asked.

Place in the path: changed by the client's events and by what was heard and answered; read when a
response is made. Sound is kept until it is written down, and no longer.
"""

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from core.errors import InvalidRequest
from core.pcm import BYTES_PER_MS, wav
from core.voice import MAX_TEXT
from ingress.realtime.outbox import new_id
from ingress.realtime.session import Part

Role = Literal["system", "user", "assistant"]
KINDS: dict[str, tuple[str, ...]] = {
    "system": ("input_text",),
    "user": ("input_text", "input_audio"),
    "assistant": ("output_text",),
}
"""What a client may put into an item of each role."""
ROOT = "root"


class ContentDocument(Part):
    """One part of an item's content, as a client sends it."""

    type: Literal["input_text", "input_audio", "output_text"]
    text: str | None = Field(None, max_length=MAX_TEXT)
    audio: str | None = None
    transcript: str | None = Field(None, max_length=MAX_TEXT)


class ItemDocument(Part):
    """An item, as a client sends it: a message. There are no tools to call."""

    type: Literal["message"]
    role: Role
    content: list[ContentDocument] = Field(min_length=1, max_length=16)
    id: str | None = Field(None, min_length=1, max_length=64)
    object: Literal["realtime.item"] | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


@dataclass(slots=True)
class Sentence:
    """What was spoken of an answer, and how long it takes to hear."""

    text: str
    ms: float = 0.0


@dataclass(slots=True)
class Content:
    """One part of an item: text, or sound and the text of it when it is known."""

    kind: str
    text: str | None = None
    sound: bytes = b""
    """PCM that was not written down yet."""
    sentences: list[Sentence] = field(default_factory=list)
    """Of a spoken answer."""
    is_cut: bool = False
    """Whether it was cut short: what is still made of it was not heard, and is not remembered."""

    def write(self, text: str) -> None:
        """More of an answer's text."""
        if not self.is_cut:
            self.text = (self.text or "") + text

    def speak(self, sentence: Sentence) -> None:
        """One more sentence of a spoken answer, which grows as its sound is made."""
        if not self.is_cut:
            self.sentences.append(sentence)

    def document(self) -> dict[str, Any]:
        """As events show it: without its sound."""
        name = "transcript" if self.kind.endswith("audio") else "text"
        return {"type": self.kind, name: self.text}


@dataclass(slots=True)
class Item:
    """One message."""

    id: str
    role: Role
    content: list[Content]
    status: str = "completed"
    hearing: asyncio.Task[None] | None = None
    """While what it holds is being written down."""

    @classmethod
    def of(cls, document: ItemDocument, where: str) -> "Item":
        """What a client sent. Raises InvalidRequest naming the part."""
        parts = [
            _content(document.role, part, f"{where}.content.{number}")
            for number, part in enumerate(document.content)
        ]
        return cls(document.id or new_id("item"), document.role, parts)

    @property
    def sound_bytes(self) -> int:
        """Of sound that was not written down."""
        return sum(len(part.sound) for part in self.content)

    @property
    def characters(self) -> int:
        """Of its texts."""
        return sum(len(part.text or "") for part in self.content)

    def document(self) -> dict[str, Any]:
        """As events show it."""
        return {
            "id": self.id,
            "object": "realtime.item",
            "type": "message",
            "status": self.status,
            "role": self.role,
            "content": [part.document() for part in self.content],
        }

    def stop_hearing(self) -> None:
        """It is no part of the conversation any more: its sound is not to fill the memory."""
        if self.hearing is not None:
            self.hearing.cancel()

    def truncate(self, end_ms: float) -> None:
        """Forget what of a spoken answer was not heard, by whole sentences; all that is still to
        come of it, too.
        """
        part = self.content[0]
        part.is_cut = True
        heard, begins = [], 0.0
        for sentence in part.sentences:
            begins += sentence.ms
            if begins > end_ms:
                break
            heard.append(sentence)
        part.sentences = heard
        part.text = " ".join(sentence.text for sentence in heard)


@dataclass(frozen=True, slots=True)
class Asked:
    """The turns of a voice call, and which part of the conversation each of them is."""

    turns: list[dict[str, Any]]
    parts: list[Content]


class Conversation:
    """Items in order."""

    def __init__(self, most: int, most_characters: int) -> None:
        self._items: list[Item] = []
        self._most = most
        self._most_characters = most_characters

    def __iter__(self) -> Any:
        return iter(self._items)

    def __contains__(self, item_id: object) -> bool:
        return any(item.id == item_id for item in self._items)

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    @property
    def sound_bytes(self) -> int:
        """Of sound that was not written down."""
        return sum(item.sound_bytes for item in self._items)

    def find(self, item_id: str, param: str = "item_id") -> Item:
        """Raises InvalidRequest when there is none."""
        for item in self._items:
            if item.id == item_id:
                return item
        raise InvalidRequest(f"there is no item '{item_id[:100]}'", param)

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put `item` at the end, or `after` another (`root`: at the front); whom it follows now.

        Raises InvalidRequest.
        """
        if item.id in self:
            raise InvalidRequest(f"there is an item '{item.id}' already", "item.id")
        place = len(self._items)
        if after == ROOT:
            place = 0
        elif after is not None:
            place = self._items.index(self.find(after, "previous_item_id")) + 1
        self._items.insert(place, item)
        return self._items[place - 1].id if place else None

    def remove(self, item: Item) -> None:
        self._items.remove(item)

    def surplus(self) -> list[Item]:
        """Take out, and return, the oldest that are too many."""
        kept, characters = 0, 0
        for item in reversed(self._items):
            characters += item.characters
            if kept == self._most or (kept and characters > self._most_characters):
                break
            kept += 1
        count = len(self._items) - kept
        dropped, self._items = self._items[:count], self._items[count:]
        return dropped


def asked(items: Iterable[Item]) -> Asked:
    """What a voice call is asked: texts as texts, and sound that was not written down as WAV."""
    found = Asked([], [])
    for item in items:
        joined = False  # texts of one item are one turn
        for part in item.content:
            if part.sound:
                found.turns.append({"role": item.role, "audio": wav(part.sound)})
                found.parts.append(part)
            elif part.text and joined:
                found.turns[-1]["content"] += f"\n{part.text}"
            elif part.text:
                found.turns.append({"role": item.role, "content": part.text})
                found.parts.append(part)
            joined = bool(part.text) and not part.sound
    return found


def _content(role: str, part: ContentDocument, where: str) -> Content:
    if part.type not in KINDS[role]:
        allowed = " or ".join(KINDS[role])
        raise InvalidRequest(f"'{where}.type' of role '{role}' must be {allowed}", f"{where}.type")
    if part.type != "input_audio":
        if part.text is None:
            raise InvalidRequest(f"'{where}.text' is required", f"{where}.text")
        return Content(part.type, part.text)
    sound = pcm_of(part.audio, f"{where}.audio")
    return Content(part.type, part.transcript, b"" if part.transcript else sound)


def pcm_of(audio: str | None, where: str) -> bytes:
    """Base64 as bytes. Raises InvalidRequest."""
    try:
        data = base64.b64decode(audio or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"'{where}' is not base64", where) from error
    if not data:
        raise InvalidRequest(f"'{where}' is empty", where)
    return data


def milliseconds(size: int) -> int:
    """How long so many bytes of PCM are."""
    return size // BYTES_PER_MS
