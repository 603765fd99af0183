"""The voice graph: what it is configured with, and its one operation.

Place in the path: a graph's model class, whose steps are models that are called by handle. A call
is admitted as a whole (`core.voice.estimate_voice`) and has one row in the ledger, under the
graph's id. It does not know who is calling.
"""

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from pydantic import Field

from core.errors import InvalidRequest
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.voice import VoiceRequest, estimate_voice, voice_stream_type
from graphs.step import TIMEOUT_S, Step
from graphs.voice.events import Event, Finished, Heard, Sound, told, usage
from graphs.voice.sound import sized
from graphs.voice.talk import Steps, Talk


class VoiceSettings(Frozen):
    """`engine` settings of a voice graph. Of each list the first is the default."""

    name: str
    """Name that answers carry."""
    transcription: tuple[str, ...] = Field(min_length=1)
    """Ids of the transcription models that a request may choose from."""
    chat: tuple[str, ...] = Field(min_length=1)
    """Ids of the chat models."""
    speech: tuple[str, ...] = Field(min_length=1)
    """Ids of the speech models."""
    instructions: str = ""
    """System message of requests that bring none."""
    timeout_s: float = Field(TIMEOUT_S, gt=0)
    """Longest wait for a model's answer, and for each piece of one."""


class Voice:
    """Three models in a row."""

    def __init__(self, settings: VoiceSettings) -> None:
        self.settings = settings
        self.transcription = _Choice(
            "transcription_model", settings.transcription, settings.timeout_s
        )
        self.chat = _Choice("chat_model", settings.chat, settings.timeout_s)
        self.speech = _Choice("speech_model", settings.speech, settings.timeout_s)

    async def converse(self, request: VoiceRequest, call: CallContext) -> Reply:
        """The whole answer: what was heard, the text, its sound."""
        talk = self._talk(request, call)
        try:
            async with aclosing(talk.events()) as events:
                happened = [event async for event in events]
        finally:
            talk.account(call)
        body = _answer(request, happened) | {
            "id": f"voice-{call.request_id}",
            "object": "voice.answer",
            "model": self.settings.name,
            "usage": usage(call.done),
        }
        return Reply(orjson.dumps(body), call.done)

    async def converse_stream(
        self, request: VoiceRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """The same as events, or as bare sound, as it is made."""
        talk = self._talk(request, call)
        try:
            async with aclosing(talk.events()) as events:
                async for event in events:
                    talk.account(call)
                    if request.output == "json":
                        yield Chunk(told(event, talk.units), talk.units)
                    elif isinstance(event, Sound):
                        yield Chunk(event.data, talk.units)
            # Of bare sound the last piece is not the last that was done.
            yield Chunk(b"", talk.units)
        finally:
            talk.account(call)

    def _talk(self, request: VoiceRequest, call: CallContext) -> Talk:
        steps = Steps(
            transcription=self.transcription.of(request.transcription_model),
            chat=self.chat.of(request.chat_model),
            speech=self.speech.of(request.speech_model),
        )
        return Talk(steps, request, call, self.settings.instructions)


class _Choice:
    """Models of one kind, by id."""

    def __init__(self, param: str, ids: Sequence[str], timeout_s: float) -> None:
        self._param = param
        self._steps = {name: Step(name, timeout_s) for name in ids}

    def of(self, name: str | None) -> Step:
        """The model called `name`, or the first. Raises InvalidRequest."""
        if name is None:
            return next(iter(self._steps.values()))
        if name not in self._steps:
            known = ", ".join(self._steps)
            raise InvalidRequest(f"'{name}' is not one of: {known}", self._param)
        return self._steps[name]


def _answer(request: VoiceRequest, happened: list[Event]) -> dict[str, Any]:
    end = next(event for event in happened if isinstance(event, Finished))
    last = len(request.turns) - 1
    heard = [event.text for event in happened if isinstance(event, Heard) and event.turn == last]
    sound = b"".join(event.data for event in happened if isinstance(event, Sound))
    audio = {
        "data": base64.b64encode(sized(request.format, sound)).decode() if sound else "",
        "format": request.format,
        "media_type": request.media_type,
    }
    return {
        "transcript": heard[0] if heard else None,
        "text": end.text,
        "finish_reason": end.reason,
        "audio": audio if request.speak else None,
    }


SPEC = ModelSpec(
    family="voice",
    model=Voice,
    settings=VoiceSettings,
    operations={
        "converse": Operation(
            method="converse",
            stream_method="converse_stream",
            stream_type=voice_stream_type,
            request=VoiceRequest,
            estimate=estimate_voice,
            makes_media=True,
        )
    },
    # A call waits for its models most of the time; recordings are megabytes.
    options={"max_ongoing_requests": 32, "max_queued_requests": 64},
)
