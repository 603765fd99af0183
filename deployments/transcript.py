"""Transcripts: what was heard, written in the formats that OpenAI's API answers.

Place in the path: after the model, before the wire. Times are seconds from the start of the
recording.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from core.model import Reply
from core.transcription import TranslationRequest
from core.work import WorkUnits


@dataclass(frozen=True, slots=True)
class Word:
    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, and how sure the model was of it."""

    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word]


@dataclass(slots=True)
class Transcript:
    """All that was heard so far."""

    task: str
    language: str = ""
    milliseconds: int = 0
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def units(self) -> WorkUnits:
        return WorkUnits(audio_ms=self.milliseconds)

    @property
    def usage(self) -> dict[str, Any]:
        """OpenAI's usage of models that are billed by time."""
        return {"type": "duration", "seconds": round(self.milliseconds / 1000, 3)}


def reply(transcript: Transcript, request: TranslationRequest) -> Reply:
    """The whole answer in the format asked for."""
    kind = request.response_format
    if kind == "text":
        return _plain(transcript.text + "\n", transcript)
    if kind == "srt":
        return _plain(srt(transcript.segments), transcript)
    if kind == "vtt":
        return _plain(vtt(transcript.segments), transcript, "text/vtt; charset=utf-8")
    body = {"text": transcript.text, "usage": transcript.usage}
    if kind == "verbose_json":
        body = verbose(transcript, request)
    return Reply(orjson.dumps(body), transcript.units)


def _plain(
    text: str, transcript: Transcript, media_type: str = "text/plain; charset=utf-8"
) -> Reply:
    return Reply(text.encode(), transcript.units, media_type)


def verbose(transcript: Transcript, request: TranslationRequest) -> dict[str, Any]:
    """OpenAI's verbose_json, with the granularities asked for."""
    body: dict[str, Any] = {
        "task": transcript.task,
        "language": transcript.language,
        "duration": round(transcript.milliseconds / 1000, 3),
        "text": transcript.text,
        "usage": transcript.usage,
    }
    if request.wants_segments:
        body["segments"] = [_segment(i, s) for i, s in enumerate(transcript.segments)]
    if request.wants_words:
        words = (word for segment in transcript.segments for word in segment.words)
        body["words"] = [
            {"word": w.text.strip(), "start": round(w.start, 3), "end": round(w.end, 3)}
            for w in words
        ]
    return body


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": index,
        "seek": int(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def srt(segments: list[Segment]) -> str:
    """SubRip subtitles."""
    return "".join(
        f"{number}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{_line(s)}\n\n"
        for number, s in enumerate(segments, start=1)
    )


def vtt(segments: list[Segment]) -> str:
    """WebVTT subtitles (W3C)."""
    cues = (f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{_line(s)}\n\n" for s in segments)
    return "WEBVTT\n\n" + "".join(cues)


def _line(segment: Segment) -> str:
    # An arrow inside a cue would be read as times.
    return segment.text.strip().replace("-->", "->")


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def delta(text: str) -> bytes:
    """One event of a stream: more text."""
    return _event({"type": "transcript.text.delta", "delta": text})


def done(transcript: Transcript) -> bytes:
    """The last event of a stream: the whole text, and what it cost."""
    return _event(
        {
            "type": "transcript.text.done",
            "text": transcript.text,
            "language": transcript.language,
            "usage": transcript.usage,
        }
    )


def _event(event: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
