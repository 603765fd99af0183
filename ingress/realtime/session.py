"""The session: what a conversation is set to, as OpenAI's Realtime API names it.

Place in the path: read by every part of a connection; changed by `session.update`, which names only
what it changes. What is not supported here is refused by name, and not taken and forgotten.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from core.errors import InvalidRequest
from core.voice import MAX_TEXT
from ingress.exchange import validate

Modality = Literal["audio", "text"]
NO_LIMIT = "inf"


def _limit(value: Any) -> Any:
    return None if value == NO_LIMIT else value


def _voice_id(value: Any) -> Any:
    """A custom voice, which OpenAI's clients send as an object, by its id."""
    return value["id"] if isinstance(value, dict) and set(value) == {"id"} else value


MaxTokens = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None,
    BeforeValidator(_limit),
    PlainSerializer(lambda value: NO_LIMIT if value is None else value),
]
"""Of one response; None, on the wire `inf`, is all that the model may."""
VoiceName = Annotated[
    Annotated[str, Field(max_length=200)] | None,
    BeforeValidator(_voice_id),
]


Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]
"""What a client wants to find again in the events of a response, as OpenAI bounds it."""


class Part(BaseModel):
    """Base of everything that a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PcmFormat(Part):
    """The one format of sound here, in and out."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24000] = 24000


class InputTranscription(Part):
    """What is said is written down when it is committed, by a call of its own."""

    model: str | None = Field(None, max_length=200)
    """The gateway's first transcription model when not given."""
    language: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}$")
    prompt: str | None = Field(None, max_length=4096)


class ServerVad(Part):
    """Turns end when it has been quiet for a while. See `ingress.realtime.detector`."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(300, ge=0, le=5000)
    silence_duration_ms: int = Field(500, ge=100, le=10_000)
    create_response: bool = True
    interrupt_response: bool = True


class AudioInput(Part):
    format: PcmFormat = PcmFormat()
    transcription: InputTranscription | None = None
    turn_detection: ServerVad | None = ServerVad()
    noise_reduction: None = None


class AudioOutput(Part):
    format: PcmFormat = PcmFormat()
    voice: VoiceName = None
    speed: float = Field(1.0, ge=0.25, le=4.0)


class Audio(Part):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class Session(Part):
    """All of it, as `session.created` and `session.updated` tell it."""

    type: Literal["realtime"] = "realtime"
    model: str
    instructions: str = Field("", max_length=MAX_TEXT)
    output_modalities: list[Modality] = Field(["audio"], min_length=1, max_length=1)
    audio: Audio = Audio()
    max_output_tokens: MaxTokens = None
    truncation: Literal["auto", "disabled"] = "auto"
    tools: list[Any] = Field([], max_length=0)
    tool_choice: Literal["auto", "none"] = "auto"
    include: list[str] | None = Field(None, max_length=0)
    prompt: None = None
    tracing: None = None

    def updated(self, change: dict[str, Any]) -> "Session":
        """The session with `change` in it, which names only what it changes.

        Raises InvalidRequest naming the field.
        """
        if change.get("model", self.model) != self.model:
            raise InvalidRequest("the model of a session stays as it is", "session.model")
        return validate(Session, _merged(self.model_dump(), change), "session")


class ResponseOutput(Part):
    format: PcmFormat = PcmFormat()
    voice: VoiceName = None


class ResponseAudio(Part):
    output: ResponseOutput = ResponseOutput()


class ResponseParams(Part):
    """`response` of `response.create`: what differs from the session for this response."""

    instructions: str | None = Field(None, max_length=MAX_TEXT)
    output_modalities: list[Modality] | None = Field(None, min_length=1, max_length=1)
    audio: ResponseAudio = ResponseAudio()
    max_output_tokens: MaxTokens = None
    conversation: Literal["auto", "none"] | None = "auto"
    """none: the conversation does not get to know of it."""
    input: list[dict[str, Any]] | None = Field(None, max_length=256)
    """Items, or references to them, in place of the conversation."""
    metadata: Metadata | None = None
    tools: list[Any] = Field([], max_length=0)
    tool_choice: Literal["auto", "none"] = "auto"
    prompt: None = None


def _merged(current: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`current` with the values of `change`, objects within objects likewise."""
    return current | {name: _changed(current.get(name), value) for name, value in change.items()}


def _changed(old: Any, new: Any) -> Any:
    return _merged(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
