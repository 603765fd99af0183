"""Models for the voice graph, in this process: an ear, `echo` as the chat, and a mouth of tones.

What is spoken can be measured: ten milliseconds a character, at the pitch of its voice.
"""

import asyncio

import numpy as np
import orjson

from core.audio_length import audio_ms
from core.errors import InvalidRequest
from core.model import CallContext, Chunk, Reply
from core.pcm import PCM_RATE
from core.work import NO_WORK, WorkUnits, beyond
from deployments.echo import Echo, EchoSettings
from tests.deployments.sounds import pitch_of, tone

MS_PER_CHARACTER = 10
PITCHES = {None: 440.0, "low": 220.0, "high": 880.0}


def pcm(samples):
    """Float samples as PCM."""
    return (np.asarray(samples) * 32767).astype("<i2").tobytes()


def heard(data):
    """Seconds and pitch of PCM."""
    samples = np.frombuffer(data, "<i2").astype(np.float32)
    return len(samples) / PCM_RATE, pitch_of(samples, PCM_RATE)


class Ear:
    """Hears what a test says that it hears."""

    def __init__(self, *texts, wake_s=0.0):
        self.texts = list(texts)
        self.wake_s = wake_s
        self.heard = []
        """Recordings."""
        self.languages = []

    async def transcribe(self, request, call):
        await asyncio.sleep(self.wake_s)
        self.heard.append(request.file)
        self.languages.append(request.language)
        text = self.texts.pop(0) if self.texts else "One two three. Four five six."
        units = WorkUnits(audio_ms=audio_ms(request.file) or 0)
        usage = {"type": "duration", "seconds": units.audio_ms / 1000}
        return Reply(orjson.dumps({"text": text, "usage": usage}), units)

    async def transcribe_stream(self, request, call):
        reply = await self.transcribe(request, call)
        answer = orjson.loads(reply.body)
        for event in (
            {"type": "transcript.text.delta", "delta": answer["text"]},
            {"type": "transcript.text.done", **answer},
        ):
            yield Chunk(b"data: " + orjson.dumps(event) + b"\n\n", reply.units)


class Mouth:
    """Speaks tones."""

    def __init__(self, sentence_s=0.0):
        self.sentence_s = sentence_s
        self.requests = []
        self.woken = 0

    async def voices(self, request, call):
        self.woken += 1
        return Reply(b"{}")

    async def speak_stream(self, request, call):
        self.requests.append(request)
        if request.voice not in PITCHES:
            raise InvalidRequest(f"there is no voice '{request.voice}'", "voice")
        await asyncio.sleep(self.sentence_s)
        seconds = len(request.input) * MS_PER_CHARACTER / 1000
        yield Chunk(
            pcm(tone(seconds, PCM_RATE, PITCHES[request.voice])),
            WorkUnits(characters=len(request.input)),
        )


class Steps:
    """Stands in for `graphs.step.Step`: the same counting, and the models of a test."""

    def __init__(self, **models):
        self.models = models

    def __call__(self, model, timeout_s):
        return LocalStep(model, self.models)


class LocalStep:
    def __init__(self, model, models):
        self.model = model
        self._models = models

    async def answer(self, operation, request, call):
        reply = await getattr(self._models[self.model], operation)(request, self._own(call))
        call.done += reply.units
        return reply

    async def stream(self, operation, request, call):
        counted = NO_WORK
        source = getattr(self._models[self.model], f"{operation}_stream")
        async for chunk in source(request, self._own(call)):
            call.done += beyond(chunk.units, counted)
            counted = chunk.units
            yield chunk

    def _own(self, call):
        return CallContext(call.request_id, reserved=call.reserved, durable=True)


def echo(word_ms=0.0):
    return Echo(EchoSettings(word_ms=word_ms))


ENGINE = {"name": "starter-voice", "transcription": ["ear"], "chat": ["chat"], "speech": ["mouth"]}
