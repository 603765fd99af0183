"""Speech: Coqui `TTS` models, sentence by sentence.

Place in the path: step 4. Each sentence is spoken in a thread beside the event loop, encoded and
sent before the next one begins; a caller who goes away stops it after the sentence in hand. Any
Coqui model directory works: one voice or many, one language or many, with or without a vocoder.
"""

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
from pydantic import Field

from core.errors import InvalidRequest
from core.model import CallContext, Chunk, Frozen, ModelSpec, Operation, Reply
from core.speech import (
    SpeechRequest,
    VoicesRequest,
    estimate_speech,
    estimate_voices,
    speech_stream_type,
)
from core.work import WorkUnits
from deployments.audio_encoder import Encoder
from deployments.device_time import DeviceTime
from deployments.speech_text import sentences
from deployments.torch_share import take_share
from models.sources import locate

OPENAI_VOICES = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)
"""Names that clients written for OpenAI send: each stands for one of the model's own voices."""
ONLY_VOICE = "default"
"""What the voice of a model without named voices is called."""
WARM_UP = "Number 1."
RIFF_SIZE_AT, DATA_SIZE_AT, WAV_HEADER_BYTES = 4, 40, 44


class SpeechSettings(Frozen):
    """`engine` settings of a speech model."""

    name: str
    """Name that lists of voices carry."""
    source: str
    """A directory with Coqui's `config.json` and checkpoint; see `models.sources`."""
    device: str = "cpu"
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    threads: int | None = None
    """CPU threads of one sentence; None leaves it to torch."""
    voices: Mapping[str, str] = {}
    """More names for the model's voices, over those that OpenAI's clients send."""
    pause_s: float = Field(0.15, ge=0, le=2)
    """Silence between sentences."""


class Speech:
    """One Coqui model."""

    def __init__(self, settings: SpeechSettings) -> None:
        import torch

        from models import coqui

        take_share(torch, settings)
        self.settings = settings
        self.engine = coqui.Speaker(Path(locate(settings.source)), settings.device)
        self.voices: list[str] = self.engine.voices or [ONLY_VOICE]
        self.names = _names(self.voices, settings.voices)
        # One worker: Coqui's models keep state while they speak.
        self.worker = ThreadPoolExecutor(1, "speak")
        self.device = DeviceTime()
        self._warm_up()

    def _warm_up(self) -> None:
        """Load now what Coqui loads with the first words and the first number."""
        voice = self.voices[0] if self.engine.voices else None
        self.engine.say(WARM_UP, voice, self._language(None))

    async def speak(self, request: SpeechRequest, call: CallContext) -> Reply:
        """The whole of it, for callers that cannot take pieces."""
        pieces = list[bytes]()
        units = WorkUnits()
        async with aclosing(self._spoken(request, call)) as spoken:
            async for data, units in spoken:  # noqa: B007 - the last one counts
                pieces.append(data)
        audio = b"".join(pieces)
        if request.response_format == "wav":
            audio = _sized(audio)
        return Reply(audio, units, request.media_type)

    async def speak_stream(
        self, request: SpeechRequest, call: CallContext
    ) -> AsyncGenerator[Chunk, None]:
        """Audio as it is made; inside events when the request asks for them."""
        units = WorkUnits()
        as_events = request.stream_format == "sse"
        async with aclosing(self._spoken(request, call)) as spoken:
            async for data, units in spoken:
                yield Chunk(_delta(data) if as_events else data, units)
        if as_events:
            yield Chunk(_done(units), units)

    async def list_voices(self, request: VoicesRequest, call: CallContext) -> Reply:
        """The model's voices, languages, and the other names of its voices."""
        voices = [
            {
                "id": voice,
                "name": voice,
                "model": self.settings.name,
                "languages": self.engine.languages,
                "aliases": [name for name, meant in self.names.items() if meant == voice != name],
            }
            for voice in self.voices
        ]
        return Reply(orjson.dumps({"object": "list", "data": voices, "voices": voices}))

    async def _spoken(
        self, request: SpeechRequest, call: CallContext
    ) -> AsyncGenerator[tuple[bytes, WorkUnits], None]:
        """Encoded audio and the characters spoken so far; never an empty piece."""
        voice, language = self._voice(request.voice), self._language(request.language)
        texts = sentences(request.input)
        if not texts:
            raise InvalidRequest("'input' has nothing that can be spoken", "input")
        loop = asyncio.get_running_loop()
        encoder = Encoder(request.response_format, self.engine.rate, request.speed)
        whole = sum(len(text) for text in texts)
        done = 0
        for text in texts:
            data = await loop.run_in_executor(
                self.worker, self._say, text, voice, language, encoder, call
            )
            done += len(text)
            units = WorkUnits(characters=len(request.input) * done // whole)
            call.done = units
            if data:
                yield data, units
        rest = await asyncio.to_thread(encoder.finish)
        if rest:
            yield rest, units

    def _say(
        self, text: str, voice: str, language: str | None, encoder: Encoder, call: CallContext
    ) -> bytes:
        """Runs in the worker."""
        import numpy as np

        named = voice if self.engine.voices else None
        with self.device.busy(call):
            samples = self.engine.say(text, named, language)
        pause = np.zeros(int(self.settings.pause_s * self.engine.rate), np.float32)
        return encoder.feed(np.concatenate([samples, pause]))

    def _voice(self, name: str | None) -> str:
        if name is None:
            return self.voices[0]
        if name not in self.names:
            raise InvalidRequest(
                f"there is no voice '{name}'; there are: " + ", ".join(self.voices), "voice"
            )
        return self.names[name]

    def _language(self, name: str | None) -> str | None:
        languages = self.engine.languages
        if name is not None and name not in languages:
            known = ", ".join(languages) or "its own only"
            raise InvalidRequest(
                f"this model does not speak '{name}'; it speaks: {known}", "language"
            )
        if not self.engine.is_multilingual:
            return None
        return name or languages[0]


def _names(voices: list[str], configured: Mapping[str, str]) -> dict[str, str]:
    """What clients may say, and the voice that is meant."""
    openai = {name: voices[index % len(voices)] for index, name in enumerate(OPENAI_VOICES)}
    return openai | dict(configured) | {voice: voice for voice in voices}


def _sized(wav: bytes) -> bytes:
    """A WAV stream with its true sizes, now that they are known."""
    data = bytearray(wav)
    struct.pack_into("<I", data, RIFF_SIZE_AT, len(wav) - 8)
    struct.pack_into("<I", data, DATA_SIZE_AT, len(wav) - WAV_HEADER_BYTES)
    return bytes(data)


def _delta(data: bytes) -> bytes:
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})


def _done(units: WorkUnits) -> bytes:
    # OpenAI counts tokens here; there are none: what is billed is characters.
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    return _event({"type": "speech.audio.done", "usage": usage | {"characters": units.characters}})


def _event(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


SPEC = ModelSpec(
    family="speech",
    model=Speech,
    settings=SpeechSettings,
    operations={
        "speak": Operation(
            method="speak",
            stream_method="speak_stream",
            stream_type=speech_stream_type,
            request=SpeechRequest,
            estimate=estimate_speech,
            makes_media=True,
        ),
        "voices": Operation(method="list_voices", request=VoicesRequest, estimate=estimate_voices),
    },
    options={"max_ongoing_requests": 16, "max_queued_requests": 64},
)
