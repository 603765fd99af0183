"""What happens in one voice call, and how it is told.

Place in the path: between the voice graph's steps and the wire. Events are values; a stream tells
each one as it happens, an answer gathers them.

    voice.transcript   what was heard in a turn       {"turn", "text"}
    voice.text.delta   more of the answer's text      {"delta"}
    voice.sentence     a sentence is being spoken     {"index", "text"}
    voice.audio.delta  more of its sound              {"index", "audio"}: base64
    voice.done         the end                        {"text", "finish_reason", "usage"}
"""

import base64
from typing import Any, NamedTuple

import orjson

from core.work import WorkUnits


class Heard(NamedTuple):
    """A recording, written down. `turn` counts all turns of the request from 0."""

    turn: int
    text: str


class Said(NamedTuple):
    """More of the answer's text, as the chat model writes it."""

    text: str


class Spoken(NamedTuple):
    """A sentence whose sound comes next."""

    number: int
    text: str


class Sound(NamedTuple):
    """Some of a sentence's sound, encoded. The last of it may come with the end of the stream."""

    number: int
    data: bytes


class Finished(NamedTuple):
    """The end. `reason`: stop, length, or no_speech where nothing was understood."""

    text: str
    reason: str


Event = Heard | Said | Spoken | Sound | Finished


def told(event: Event, units: WorkUnits) -> bytes:
    """The event as a server-sent one. `units` is all that the call took so far."""
    return b"data: " + orjson.dumps(_object(event, units)) + b"\n\n"


def _object(event: Event, units: WorkUnits) -> dict[str, Any]:
    match event:
        case Heard(turn, text):
            return {"type": "voice.transcript", "turn": turn, "text": text}
        case Said(text):
            return {"type": "voice.text.delta", "delta": text}
        case Spoken(number, text):
            return {"type": "voice.sentence", "index": number, "text": text}
        case Sound(number, data):
            audio = base64.b64encode(data).decode()
            return {"type": "voice.audio.delta", "index": number, "audio": audio}
        case Finished(text, reason):
            end = {"text": text, "finish_reason": reason, "usage": usage(units)}
            return {"type": "voice.done"} | end


def usage(units: WorkUnits) -> dict[str, int]:
    """What is billed, by unit."""
    return {
        "audio_ms": units.audio_ms,
        "input_tokens": units.input_tokens,
        "cached_tokens": units.cached_tokens,
        "output_tokens": units.output_tokens,
        "total_tokens": units.tokens,
        "characters": units.characters,
    }
