"""What somebody said, written down: a call of a transcription model for each recording.

Place in the path: begun when sound is committed, in sessions that ask for it; billed by itself, as
`/v1/audio/transcriptions` is. Other sessions leave it to the voice model, as a part of the
response.
"""

from contextlib import aclosing
from typing import Any

from core.errors import CarillonError
from core.pcm import wav
from core.sse import EventReader
from ingress.realtime.calls import Calls, error_object
from ingress.realtime.items import Content, Item
from ingress.realtime.outbox import Outbox
from ingress.realtime.session import InputTranscription

TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Hearing:
    """One connection's."""

    def __init__(self, calls: Calls, outbox: Outbox) -> None:
        self._calls = calls
        self._outbox = outbox

    async def hear(self, item: Item, asked: InputTranscription) -> None:
        """Write down what `item` holds. A failure is told, and the sound stays for the response."""
        for index, part in enumerate(item.content):
            if part.sound:
                await self._hear(part, asked, {"item_id": item.id, "content_index": index})

    async def _hear(self, part: Content, asked: InputTranscription, where: dict[str, Any]) -> None:
        document = asked.model_dump(exclude_none=True) | {"file": wav(part.sound)}
        done: dict[str, Any] = {}
        try:
            stream = await self._calls.stream(self._calls.prepare("transcribe", document))
            reader = EventReader()
            async with aclosing(stream.pieces) as pieces:
                async for piece in pieces:
                    for event in reader.feed(piece):
                        if event["type"] == "transcript.text.delta":
                            delta = event["delta"]
                            self._outbox.put(f"{TRANSCRIPTION}.delta", **where, delta=delta)
                        elif event["type"] == "transcript.text.done":
                            done = event
        except CarillonError as error:
            self._outbox.put(f"{TRANSCRIPTION}.failed", **where, error=error_object(error))
            return
        part.text, part.sound = done["text"], b""
        end = {"transcript": done["text"], "usage": done["usage"]}
        self._outbox.put(f"{TRANSCRIPTION}.completed", **where, **end)
