"""Speech requests, as OpenAI's `/v1/audio/speech` defines them.

Place in the path: parsed once by the gateway (step 1); speech models receive the same type. It
checks shape and length; which voices and languages there are, the model knows.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.model import EVENT_STREAM, ModelCard
from core.work import NO_WORK, WorkUnits

MAX_CHARACTERS = 4096

AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
MEDIA_TYPES: dict[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


class SpeechRequest(BaseModel):
    """POST /v1/audio/speech. It always streams: as audio, or as events that carry audio."""

    model_config = ConfigDict(extra="forbid")

    input: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    model: str | None = None
    voice: str | None = Field(None, max_length=200)
    """One of the model's voices; its first when not given."""
    response_format: AudioFormat = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0)
    stream_format: Literal["audio", "sse"] = "audio"
    language: str | None = Field(None, max_length=32)
    """For models of several languages; their first when not given. An extension of ours."""
    instructions: str | None = Field(None, max_length=MAX_CHARACTERS)
    """How to speak, in words. Coqui's models take none: they speak as they do."""

    @property
    def stream(self) -> bool:
        """Audio leaves as it is made, whoever asks."""
        return True

    @property
    def media_type(self) -> str:
        """What the audio is."""
        return MEDIA_TYPES[self.response_format]


class VoicesRequest(BaseModel):
    """GET /v1/audio/voices."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None


def estimate_speech(request: SpeechRequest, card: ModelCard) -> WorkUnits:
    """The characters of the text: known exactly before work."""
    return WorkUnits(characters=len(request.input))


def estimate_voices(request: VoicesRequest, card: ModelCard) -> WorkUnits:
    """A list of names is no work."""
    return NO_WORK


def speech_stream_type(request: SpeechRequest) -> str:
    """Media type of the answer."""
    return EVENT_STREAM if request.stream_format == "sse" else request.media_type
