"""One response: a call of the voice model, told in the events of OpenAI's Realtime API.

Place in the path: a task beside the one that reads the client's events. The call's stream is what
`POST /v1/voice` streams; here its events get their other names, and what was heard and said becomes
part of the conversation. Cancelling the task closes the stream, and the path settles what was done.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Literal

from core.errors import CarillonError, Unauthenticated
from core.pcm import BYTES_PER_MS
from core.sse import EventReader
from ingress.call import Call
from ingress.rate_headers import realtime_limits
from ingress.realtime.calls import Calls, error_object
from ingress.realtime.items import Asked, Content, Conversation, Item, Sentence, asked
from ingress.realtime.outbox import Outbox, new_id
from ingress.realtime.session import ResponseParams, Session

Cancelled = Literal["client_cancelled", "turn_detected"]
Status = Literal["in_progress", "completed", "incomplete", "cancelled", "failed"]
BASE64_PART, BASE64_BYTES = 4, 3


class Response:
    """One.

    Args:
        items: what it answers, oldest first.
        conversation: where the answer goes; None for a response that nobody is to remember.
    """

    def __init__(
        self,
        calls: Calls,
        outbox: Outbox,
        session: Session,
        params: ResponseParams,
        items: Sequence[Item],
        conversation: Conversation | None,
        conversation_id: str,
    ) -> None:
        self._calls = calls
        self._outbox = outbox
        self._session = session
        self._params = params
        self._items = items
        self._conversation = conversation
        self._conversation_id = conversation_id
        self._output: Item | None = None
        self._sentence = Sentence("")
        """Whose sound is being made; of an answer that was cut short, one that nobody hears."""
        self._asked = Asked([], [])
        self._usage: dict[str, Any] | None = None
        self._reason = "stop"
        self._begun = False
        modalities = params.output_modalities or session.output_modalities
        self._speaks = modalities == ["audio"]
        self._request_id = uuid.uuid4().hex
        self.id = f"resp_{self._request_id}"
        self.cancelled: Cancelled | None = None
        """Why it was told to stop, once it was."""

    async def run(self, before: asyncio.Task[None] | None) -> None:
        """Ask, and tell what comes, to a `response.done`, whatever happens.

        It begins when the response `before` it has ended. A key that is no longer good raises
        Unauthenticated, after the end was told.
        """
        try:
            if before is not None:
                await asyncio.wait((before,))
            self._begin()
            await self._heard()
            await self._relay()
        except asyncio.CancelledError:
            if self.cancelled is None:
                raise  # the connection ends: nobody is left to be told
            self._end("cancelled", {"type": "cancelled", "reason": self.cancelled})
        except CarillonError as error:
            self._end("failed", {"type": "failed", "error": error_object(error)})
            if isinstance(error, Unauthenticated):
                raise
        else:
            if self._reason == "length":
                self._end("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
            else:
                self._end("completed", None)

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._outbox.put("response.created", response=self._document("in_progress"))

    async def _heard(self) -> None:
        """Wait for what is being written down; then what to ask is known."""
        hearing = [item.hearing for item in self._items if item.hearing is not None]
        if hearing:
            await asyncio.wait(hearing)
        self._asked = asked(self._items)

    async def _relay(self) -> None:
        call = self._calls.prepare("converse", self._request(), self._request_id)
        try:
            stream = await self._calls.stream(call)
        finally:
            self._tell_limits(call)
        reader = EventReader()
        async with aclosing(stream.pieces) as pieces:
            async for piece in pieces:
                for event in reader.feed(piece):
                    await self._outbox.room()
                    self._tell(event)

    def _request(self) -> dict[str, Any]:
        session, params = self._session, self._params
        sets_limit = "max_output_tokens" in params.model_fields_set
        given = {
            "model": session.model,
            "history": self._asked.turns,
            "instructions": params.instructions or session.instructions or None,
            "voice": self._voice,
            "max_tokens": params.max_output_tokens if sets_limit else session.max_output_tokens,
            "speed": session.audio.output.speed,
            "language": getattr(session.audio.input.transcription, "language", None),
            "truncation": session.truncation,
            "format": "pcm",
            "speak": self._speaks,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def _voice(self) -> str | None:
        return self._params.audio.output.voice or self._session.audio.output.voice

    def _tell_limits(self, call: Call) -> None:
        if limits := realtime_limits(call.headers):
            self._outbox.put("rate_limits.updated", rate_limits=limits)

    def _tell(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "voice.transcript":
                part = self._asked.parts[event["turn"]]
                part.text, part.sound = event["text"], b""
            case "voice.text.delta":
                self._content().write(event["delta"])
                kind = "output_audio_transcript" if self._speaks else "output_text"
                self._put(f"response.{kind}.delta", delta=event["delta"])
            case "voice.sentence":
                self._sentence = Sentence(event["text"])
                self._content().speak(self._sentence)
            case "voice.audio.delta":
                size = len(event["audio"]) // BASE64_PART * BASE64_BYTES
                self._sentence.ms += size / BYTES_PER_MS
                self._put("response.output_audio.delta", delta=event["audio"])
            case "voice.done":
                self._usage, self._reason = event["usage"], event["finish_reason"]

    def _content(self) -> Content:
        """The answer's one part; the first time, its item is told."""
        if self._output is None:
            kind = "output_audio" if self._speaks else "output_text"
            self._output = Item(new_id("item"), "assistant", [Content(kind, "")], "in_progress")
            self._begin_output(self._output)
        return self._output.content[0]

    def _begin_output(self, item: Item) -> None:
        empty = item.document() | {"content": []}
        where = {"response_id": self.id, "output_index": 0}
        self._outbox.put("response.output_item.added", **where, item=empty)
        if self._conversation is not None:
            before = self._conversation.add(item)
            self._outbox.put("conversation.item.added", previous_item_id=before, item=empty)
        self._put("response.content_part.added", part=_part(item.content[0]))

    def _put(self, kind: str, **fields: Any) -> None:
        """An event of the answer's one part."""
        assert self._output is not None
        where = {"response_id": self.id, "item_id": self._output.id}
        self._outbox.put(kind, **where, output_index=0, content_index=0, **fields)

    def _end(self, status: Status, details: dict[str, Any] | None) -> None:
        self._begin()  # one that is stopped while it waits has not
        if self._output is not None:
            self._output.status = "completed" if status == "completed" else "incomplete"
            self._end_output(self._output)
        self._outbox.put("response.done", response=self._document(status, details))

    def _end_output(self, item: Item) -> None:
        part = item.content[0]
        if self._speaks:
            self._put("response.output_audio.done")
            self._put("response.output_audio_transcript.done", transcript=part.text)
        else:
            self._put("response.output_text.done", text=part.text)
        self._put("response.content_part.done", part=_part(part))
        where = {"response_id": self.id, "output_index": 0}
        self._outbox.put("response.output_item.done", **where, item=item.document())
        if self._conversation is not None:
            self._outbox.put("conversation.item.done", item=item.document())

    def _document(self, status: Status, details: dict[str, Any] | None = None) -> dict[str, Any]:
        sound = {"format": self._session.audio.output.format.model_dump(), "voice": self._voice}
        limit = self._params.max_output_tokens or self._session.max_output_tokens
        remembered = self._conversation is not None
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [] if self._output is None else [self._output.document()],
            "conversation_id": self._conversation_id if remembered else None,
            "output_modalities": ["audio" if self._speaks else "text"],
            "max_output_tokens": limit or "inf",
            "audio": {"output": sound},
            "usage": None if self._usage is None else _usage(self._usage),
            "metadata": self._params.metadata,
        }


def _part(part: Content) -> dict[str, Any]:
    """As events of a response name it."""
    kind, name = ("audio", "transcript") if part.kind == "output_audio" else ("text", "text")
    return {"type": kind, name: part.text}


def _usage(counted: dict[str, int]) -> dict[str, Any]:
    """In OpenAI's words; `carillon` has the units that it has no words for."""
    cached = counted["cached_tokens"]
    return {
        "total_tokens": counted["total_tokens"],
        "input_tokens": counted["input_tokens"],
        "output_tokens": counted["output_tokens"],
        "input_token_details": {
            "text_tokens": counted["input_tokens"],
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": counted["output_tokens"], "audio_tokens": 0},
        "carillon": {"audio_ms": counted["audio_ms"], "characters": counted["characters"]},
    }
