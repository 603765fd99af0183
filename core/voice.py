"""Voice requests: something said, and what was said before, for an answer that is spoken.

Place in the path: parsed once by the gateway (step 1), from a form, from JSON or from what a
WebSocket collected; the voice graph receives the same type. It checks shape and size; what is said,
and which voices there are, the graph's models know.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from core.chat import (
    BYTES_PER_TOKEN,
    DEFAULT_OUTPUT_TOKENS,
    TEMPLATE_TOKENS,
    TOKENS_PER_MESSAGE,
)
from core.model import EVENT_STREAM, ModelCard
from core.speech import MEDIA_TYPES, AudioFormat
from core.transcription import MAX_BYTES, Sound, claimed_ms
from core.work import WorkUnits

MAX_TURNS = 256
MAX_TEXT = 32_768
CHARACTERS_PER_TOKEN = 8
"""More than tokens of natural language have: speech is reserved by it, and ends there."""
TRANSCRIPT_TOKENS_PER_S = 32
"""More than anybody says in a second: what a recording may add to the prompt."""
MS_PER_S = 1000


def _listed(value: Any) -> Any:
    """Forms have no lists of objects: they send JSON as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError("must be a list of turns, in a form as JSON") from error


class Turn(BaseModel):
    """One thing said before: its text, or a recording that nobody has written down yet."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str | None = Field(None, max_length=MAX_TEXT)
    audio: Sound | None = Field(None, repr=False)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.content is None) == (self.audio is None):
            raise ValueError("give a turn 'content' or 'audio', one of them")
        if self.audio is not None and self.role != "user":
            raise ValueError("only the user's turns may be 'audio'")
        return self


class VoiceRequest(BaseModel):
    """POST /v1/voice."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    file: Sound | None = Field(None, repr=False)
    """What is said now: an audio file."""
    text: str | None = Field(None, min_length=1, max_length=MAX_TEXT)
    """The same, written."""
    history: Annotated[list[Turn], BeforeValidator(_listed)] = Field([], max_length=MAX_TURNS)
    """What was said before; it may end with the user's turn, when neither of the two is given."""
    model: str | None = None
    instructions: str | None = Field(None, max_length=MAX_TEXT)
    """The system message; the graph's own when not given."""
    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}$")
    """ISO 639-1 code of what is said in recordings; found out when not given."""
    speech_language: str | None = Field(None, max_length=32)
    """Of the answer's voice, for speech models of several languages."""
    voice: str | None = Field(None, max_length=200)
    """One of the speech model's voices; its first when not given."""
    speed: float = Field(1.0, ge=0.25, le=4.0)
    format: AudioFormat = "mp3"
    speak: bool = True
    """False: the answer is written only."""
    transcription_model: str | None = Field(None, max_length=200)
    chat_model: str | None = Field(None, max_length=200)
    speech_model: str | None = Field(None, max_length=200)
    """Each one of those that the graph is configured with; its first when not given."""
    max_tokens: int | None = Field(None, ge=1, le=100_000)
    """Most tokens of the answer."""
    temperature: float | None = Field(None, ge=0, le=2)
    truncation: Literal["auto", "disabled"] = "disabled"
    """auto: the oldest turns are left out where the conversation is too long for the chat model."""
    stream: bool = False
    output: Literal["json", "audio"] = "json"
    """audio: the bare sound; streamed, as it is made."""

    @field_validator("text")
    @classmethod
    def _something(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise ValueError("must not be blank")
        return text

    @model_validator(mode="after")
    def _something_is_said(self) -> Self:
        if self.file is not None and self.text is not None:
            raise ValueError("give 'file' or 'text', not both")
        if not self.turns or self.turns[-1].role != "user":
            raise ValueError("say something: give 'file' or 'text', or end 'history' with the user")
        if self.output == "audio" and not self.speak:
            raise ValueError("'output' can only be audio where 'speak' is true")
        if sum(len(turn.audio) for turn in self.turns if turn.audio) > MAX_BYTES:
            raise ValueError(f"recordings may have {MAX_BYTES} bytes together")
        return self

    @property
    def turns(self) -> list[Turn]:
        """Everything said, oldest first, what is said now at the end."""
        now = []
        if self.file is not None or self.text is not None:
            # Both are valid already.
            now = [Turn.model_construct(role="user", content=self.text, audio=self.file)]
        return [*self.history, *now]

    @property
    def media_type(self) -> str:
        """What the audio is."""
        return MEDIA_TYPES[self.format]


def estimate_voice(request: VoiceRequest, card: ModelCard) -> WorkUnits:
    """Upper bound of the three steps together.

    Milliseconds of the recordings as their headers say; tokens of all texts and of what so much
    speech can be, and of the answer; its characters, of which the graph speaks no more.

    Raises InvalidRequest for a recording that says it is empty.
    """
    heard_ms, size = 0, len((request.instructions or "").encode())
    for turn in request.turns:
        size += len((turn.content or "").encode())
        if turn.audio is not None:
            heard_ms += claimed_ms(turn.audio, "file" if turn.audio is request.file else "history")
    prompt = size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * (len(request.turns) + 1)
    prompt += TEMPLATE_TOKENS + heard_ms * TRANSCRIPT_TOKENS_PER_S // MS_PER_S
    output = request.max_tokens or card.max_output_tokens or DEFAULT_OUTPUT_TOKENS
    if card.context_window is not None:
        prompt, output = min(prompt, card.context_window), min(output, card.context_window)
    return WorkUnits(
        input_tokens=prompt,
        output_tokens=output,
        characters=output * CHARACTERS_PER_TOKEN if request.speak else 0,
        audio_ms=heard_ms,
    )


def voice_stream_type(request: VoiceRequest) -> str:
    """Media type of the streamed answer."""
    return request.media_type if request.output == "audio" else EVENT_STREAM
