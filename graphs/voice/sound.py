"""The answer's sound: PCM of one sentence after the other, as one stream of the format asked for.

Place in the path: after the speech model, which answers PCM. Bare samples and WAV pass through;
other formats are encoded in a thread beside the event loop.
"""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from core.pcm import BYTES_PER_MS, PCM_RATE, wav_header
from core.speech import AudioFormat
from deployments.audio_encoder import Encoder

if TYPE_CHECKING:
    import numpy as np

PIECE_BYTES = 500 * BYTES_PER_MS
"""Longest piece of an event: it fits into a message, and the server compresses it in no time."""
BARE = ("pcm", "wav")
WAV_HEADER_BYTES = len(wav_header(PCM_RATE))


class SoundStream:
    """One answer's sound."""

    def __init__(self, kind: AudioFormat) -> None:
        self._kind = kind
        self._encoder: Encoder | None = None
        self._header = wav_header(PCM_RATE) if kind == "wav" else b""

    async def feed(self, pcm: bytes) -> bytes:
        """What `pcm` adds to the stream; may be empty, as encoders hold back a little."""
        if self._kind in BARE:
            header, self._header = self._header, b""
            return header + pcm
        return await asyncio.to_thread(self._encoded, pcm)

    async def finish(self) -> bytes:
        """The rest."""
        if self._encoder is None:
            return self._header
        return await asyncio.to_thread(self._encoder.finish)

    def _encoded(self, pcm: bytes) -> bytes:
        if self._encoder is None:
            self._encoder = Encoder(self._kind, PCM_RATE)
        return self._encoder.feed(_samples(pcm))


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` in pieces that fit into one message."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def sized(kind: AudioFormat, data: bytes) -> bytes:
    """A whole answer; a WAV file says how long it is."""
    if kind != "wav":
        return data
    return wav_header(PCM_RATE, len(data) - WAV_HEADER_BYTES) + data[WAV_HEADER_BYTES:]


def _samples(pcm: bytes) -> "np.ndarray[Any, Any]":
    import numpy as np  # noqa: PLC0415 - the gateway reads this module's neighbours

    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32767.0
