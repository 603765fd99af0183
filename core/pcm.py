"""PCM as OpenAI's clients send and play it: 24 kHz, 16-bit, mono, little-endian.

Place in the path: wherever bare samples travel: speech that streams, and sound that a client sends
as it is recorded. It decodes and encodes nothing.
"""

import struct

PCM_RATE = 24_000
SAMPLE_BYTES = 2
BYTES_PER_MS = PCM_RATE * SAMPLE_BYTES // 1000
UNKNOWN_SIZE = 0xFFFFFFFF


def wav_header(rate: int, data_bytes: int | None = None) -> bytes:
    """RIFF header of 16-bit mono PCM; sizes are the largest there are when not known yet."""
    size = UNKNOWN_SIZE if data_bytes is None else data_bytes
    whole = UNKNOWN_SIZE if data_bytes is None else data_bytes + 36
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, SAMPLE_BYTES * rate, SAMPLE_BYTES, 16)
    return (
        b"RIFF" + struct.pack("<I", whole) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
    )


def wav(samples: bytes) -> bytes:
    """A WAV file of such PCM. Half a sample at the end is left out."""
    samples = samples[: len(samples) // SAMPLE_BYTES * SAMPLE_BYTES]
    return wav_header(PCM_RATE, len(samples)) + samples
