"""Transcription requests, as OpenAI's `/v1/audio/transcriptions` and `/translations` define them.

Place in the path: parsed once by the gateway (step 1) from a form; transcription models receive
the same types, the recording as bytes. It checks shape and size; whether the bytes are sound, and
how much, the model finds out.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from core.audio_length import audio_ms
from core.errors import InvalidRequest
from core.model import ModelCard
from core.work import WorkUnits

MAX_BYTES = 25 * 2**20
MAX_PROMPT = 4096
SLOWEST_BYTES_PER_S = 1000
"""8 kbit/s: less than speech codecs use. Reserved where a header does not say how long it is."""
LONGEST_RESERVED_MS = 24 * 3600 * 1000
"""No model here takes more: longer claims reserve this much, and are then refused by the model."""

TranscriptFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]


def _recording(value: Any) -> Any:
    """Bytes as they are; base64, from callers without forms, decoded."""
    if not isinstance(value, str):
        return value
    if value[:8].lower().startswith(("http://", "https://")):
        raise ValueError("recordings are not fetched: send the file, or base64 in JSON")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("must be an audio file: multipart, or base64 in JSON") from error


Sound = Annotated[
    bytes,
    Field(min_length=1, max_length=MAX_BYTES),
    BeforeValidator(_recording),
    # In cache keys and logs a digest stands for the sound.
    PlainSerializer(lambda data: hashlib.sha256(data).hexdigest(), when_used="json"),
]
Recording = Annotated[Sound, Field(repr=False)]


class TranslationRequest(BaseModel):
    """POST /v1/audio/translations: speech of any language, as English text."""

    model_config = ConfigDict(extra="forbid")

    file: Recording
    model: str | None = None
    prompt: str | None = Field(None, max_length=MAX_PROMPT)
    """Text that came before, to guide spelling and style."""
    response_format: TranscriptFormat = "json"
    temperature: float | None = Field(None, ge=0, le=1)
    """0 or None: greedy, and warmer only where that fails."""
    stream: bool = False
    vad_filter: bool | None = None
    """Leave out what is not speech. None: as the model is configured. An extension of ours."""

    @property
    def source_language(self) -> str | None:
        """The language spoken, when the caller says."""
        return None

    @property
    def wants_words(self) -> bool:
        return False

    @property
    def wants_segments(self) -> bool:
        return True


class TranscriptionRequest(TranslationRequest):
    """POST /v1/audio/transcriptions: speech as text of its own language."""

    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}$")
    """ISO 639-1 code of what is spoken; found out when not given."""
    timestamp_granularities: list[Literal["word", "segment"]] = Field(["segment"], max_length=2)
    """Only `verbose_json` has a place for them."""
    include: list[str] | None = Field(None, max_length=8)
    """OpenAI's `logprobs` for its newer models: taken, and not answered."""
    chunking_strategy: str | None = Field(None, max_length=100)
    """OpenAI's hint for long recordings: taken; windows are chosen here anyway."""

    @property
    def source_language(self) -> str | None:
        return self.language.lower() if self.language else None

    @property
    def wants_words(self) -> bool:
        return "word" in self.timestamp_granularities

    @property
    def wants_segments(self) -> bool:
        return "segment" in self.timestamp_granularities


def estimate_transcription(request: TranslationRequest, card: ModelCard) -> WorkUnits:
    """Milliseconds of sound. Raises InvalidRequest for a recording that says it is empty."""
    return WorkUnits(audio_ms=claimed_ms(request.file, "file"))


def claimed_ms(recording: bytes, param: str) -> int:
    """Milliseconds that headers say, or the most that the bytes can hold.

    Raises InvalidRequest, naming `param`, for a recording that says it is empty.
    """
    claimed = audio_ms(recording)
    if claimed is None:
        claimed = 1000 * len(recording) // SLOWEST_BYTES_PER_S + 1
    if claimed <= 1:
        raise InvalidRequest(f"'{param}' holds no sound: it is 0 seconds long", param)
    return min(claimed, LONGEST_RESERVED_MS)
