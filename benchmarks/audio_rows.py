"""Speech and transcription rows: whole answers against the bare libraries."""

import base64
import io
import itertools
import random
import wave
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Cluster
from benchmarks.compare import Row
from benchmarks.family_rows import OVERHEAD, Work, against_bare, work
from benchmarks.gateway_rows import Effort
from benchmarks.load import Shot
from benchmarks.shots import NO_STORE, post

SPEECH_PATH = "/v1/audio/speech"
SPEECH_MODEL = "starter-speech"
VOICE = "tenor"
TRANSCRIPTION_PATH = "/v1/audio/transcriptions"
TRANSCRIPTION_MODEL = "starter-transcribe"
RECORDINGS = 12
SENTENCES = 8
"""Of one recording: some hundreds of milliseconds of work."""
SEED = 424_244
BOUNDARY = "carillon-benchmark"


def speech(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """A text of two sentences, to a WAV file."""
    yield against_bare(
        cluster,
        effort,
        scratch,
        "speech through HTTP",
        _texts(cluster.key),
        OVERHEAD,
        model=SPEECH_MODEL,
        library="Coqui TTS",
        note="two sentences to a WAV file, unique",
    )


def transcription(cluster: Cluster, effort: Effort, scratch: Path) -> Iterator[Row]:
    """A recording of many sentences, from a WAV file."""
    yield against_bare(
        cluster,
        effort,
        scratch,
        "transcription through HTTP",
        _recordings(cluster.key),
        OVERHEAD,
        model=TRANSCRIPTION_MODEL,
        library="faster-whisper",
        note=f"WAV files of {SENTENCES} sentences with pauses",
    )


def _texts(key: str) -> Iterator[Work]:
    for number in itertools.count(1):
        text = f"Move circle {number} to the left. Then open the door."
        request = {
            "model": SPEECH_MODEL,
            "input": text,
            "voice": VOICE,
            "response_format": "wav",
        }
        yield work(key, SPEECH_PATH, request, b"WAVEfmt")


def _recordings(key: str) -> Iterator[Work]:
    """A few recordings, again and again: nothing is cached."""
    return itertools.cycle([_recording(key, SEED + number) for number in range(RECORDINGS)])


def _recording(key: str, seed: int) -> Work:
    file = _spoken(random.Random(seed))
    return Work(
        Shot(
            post(
                key,
                TRANSCRIPTION_PATH,
                _form(file),
                NO_STORE,
                f"multipart/form-data; boundary={BOUNDARY}",
            ),
            b'"text"',
        ),
        {"file": base64.b64encode(file).decode()},
    )


def _spoken(rng: random.Random) -> bytes:
    """A WAV file of sentences that starter-transcribe knows."""
    import numpy as np

    from models.starter_transcribe.utterances import (
        SAMPLE_RATE,
        drawn,
        espeak_speaker,
        utterance,
    )

    say = espeak_speaker()
    texts = [drawn(rng) for _ in range(SENTENCES)]
    spoken = utterance(rng, [(text, say(text, rng)) for text in texts], cut_s=3600)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((spoken.samples * 32767).astype(np.int16).tobytes())
    return buffer.getvalue()


def _form(file: bytes) -> bytes:
    """The fields of a transcription as a browser would send them."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
        f"{TRANSCRIPTION_MODEL}\r\n"
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="said.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n"
    )
    return head.encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()
