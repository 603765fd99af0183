"""How long a recording says it is, by its headers alone.

Place in the path: step 1, so that admission can reserve seconds of audio before anybody decodes
them. It runs no codec and trusts nothing: the model decodes no more than was reserved. Formats:
WAV, FLAC, MP3, AAC, Ogg (Opus, Vorbis), MP4/M4A and WebM/Matroska; None for others, and for headers
that do not say.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

MP3_RATES: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_RATES_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""kbit/s of MPEG-1 and MPEG-2 layer III (ISO 11172-3 and 13818-3)."""
MP3_HZ: Final = (44100, 48000, 32000)
OPUS_HZ: Final = 48_000
STAND_IN_HZ: Final = 1_000
AAC_HZ: Final = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000),
    *(22050, 16000, 12000, 11025, 8000, 7350),
)
ADTS_SYNC, ADTS_HEADER = 0xFFF, 7
MAX_BOXES: Final = 1000
MAX_FRAMES: Final = 5000
BOX: Final = struct.Struct(">I4s")
SYNC, RESERVED, MPEG_1 = 0x7FF, 1, 3
MP3_SLOWER: Final = {0: 4, 2: 2, 3: 1}
"""What MPEG-2.5, MPEG-2 and MPEG-1 divide the rates of `MP3_HZ` by."""


def audio_ms(data: bytes) -> int | None:
    """Milliseconds that the headers of `data` claim."""
    for is_it, length in READERS:
        if is_it(data):
            try:
                return length(data)
            except (IndexError, ValueError, struct.error, ZeroDivisionError):
                return None
    return None


def stand_in(ms: int) -> bytes:
    """The header of a FLAC file that claims so many milliseconds, two or more, and has none."""
    samples = min(ms - 1, 2**36 - 1)
    return b"fLaC".ljust(18, b"\0") + (STAND_IN_HZ << 44 | samples).to_bytes(8, "big")


def _wav(data: bytes) -> int | None:
    at, rate = 12, 0
    for _ in range(MAX_BOXES):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"fmt ":
            rate = struct.unpack_from("<I", data, at + 16)[0]
        if name == b"data":
            # A stream's size is not known when its header is written: what is here counts.
            return int(1000 * min(size, len(data) - at - 8) // rate) + 1
        at += 8 + size + size % 2
    return None


def _flac(data: bytes) -> int | None:
    packed = int.from_bytes(data[18:26], "big")
    rate, samples = packed >> 44, packed & (2**36 - 1)
    return 1000 * samples // rate + 1 if samples else None


def _ogg(data: bytes) -> int | None:
    head = data[:200]
    if (opus := head.find(b"OpusHead")) > 0:
        rate, skip = OPUS_HZ, struct.unpack_from("<H", data, opus + 10)[0]
    elif (vorbis := head.find(b"\x01vorbis")) > 0:
        rate, skip = struct.unpack_from("<I", data, vorbis + 12)[0], 0
    else:
        return None
    last = data.rfind(b"OggS")
    samples = struct.unpack_from("<q", data, last + 6)[0]
    return 1000 * max(0, samples - skip) // rate + 1 if samples >= 0 else None


def _mp4(data: bytes) -> int | None:
    at = 0
    for _ in range(MAX_BOXES):
        size, name = BOX.unpack_from(data, at)
        if size == 1:
            size = struct.unpack_from(">Q", data, at + 8)[0]
        if name == b"moov":
            header = data.find(b"mvhd", at, at + 200)
            return _mvhd(data, header + 4) if header > 0 else None
        if size < BOX.size:
            return None
        at += size
    return None


def _mvhd(data: bytes, at: int) -> int | None:
    if data[at] == 1:
        scale, duration = struct.unpack_from(">IQ", data, at + 20)
    else:
        scale, duration = struct.unpack_from(">II", data, at + 12)
    return 1000 * duration // scale + 1 if duration else None


def _matroska(data: bytes) -> int | None:
    """The segment's Duration (44 89), in units of TimestampScale (2A D7 B1; 1 ms by default)."""
    head = data[:4096]
    info = head.find(b"\x15\x49\xa9\x66")
    at = head.find(b"\x44\x89", info)
    if info < 0 or at < 0:
        return None
    scale_at = head.find(b"\x2a\xd7\xb1", info)
    scale = 1_000_000
    if scale_at > 0:
        size = head[scale_at + 3] & 0x7F
        scale = int.from_bytes(head[scale_at + 4 : scale_at + 4 + size], "big")
    kind = ">f" if head[at + 2] & 0x7F == struct.calcsize(">f") else ">d"
    value = float(struct.unpack_from(kind, head, at + 3)[0])
    if not 0 < value < 2**53:
        return None
    return int(value * scale / 1_000_000) + 1


def _mp3(data: bytes) -> int | None:
    """By the tag of the first frame, or frame by frame."""
    at = _after_tags(data)
    frame = _mp3_frame(data, at)
    if frame is None:
        return None
    for mark in (b"Xing", b"Info"):
        tag = data.find(mark, at, at + 64)
        if tag > 0 and struct.unpack_from(">I", data, tag + 4)[0] & 1:
            frames = struct.unpack_from(">I", data, tag + 8)[0]
            return int(1000 * frames * frame.samples // frame.hz) + 1
    return _walked(data, at, _mp3_frame)


def _walked(data: bytes, at: int, read: Callable[[bytes, int], "_Frame | None"]) -> int:
    """Frame by frame; of many frames, the rest by the slowest of the first."""
    seconds, slowest = 0.0, float("inf")
    for _ in range(MAX_FRAMES):
        frame = read(data, at)
        if frame is None:
            break
        seconds += frame.samples / frame.hz
        slowest = min(slowest, frame.size * frame.hz / frame.samples)
        at += frame.size
    return int(1000 * (seconds + max(0, len(data) - at) / slowest)) + 1


def _after_tags(data: bytes) -> int:
    at = 0
    if data[:3] == b"ID3":
        size = data[6:10]
        at = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    return max(at, data.find(b"\xff", at, at + 4096))


class _Frame(NamedTuple):
    size: int
    samples: int
    hz: int


def _mp3_frame(data: bytes, at: int) -> _Frame | None:
    """The MPEG layer III frame at `at`; None where there is none."""
    if at + 4 > len(data):
        return None
    head = struct.unpack_from(">I", data, at)[0]
    version, layer = head >> 19 & 3, head >> 17 & 3
    rate_index, hz_index, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
    rates = MP3_RATES if version == MPEG_1 else MP3_RATES_2
    if head >> 21 != SYNC or version == RESERVED or layer != 1 or hz_index == len(MP3_HZ):
        return None
    if not 0 < rate_index < len(rates):
        return None
    hz = MP3_HZ[hz_index] // MP3_SLOWER[version]
    samples = 1152 if version == MPEG_1 else 576
    return _Frame(samples // 8 * rates[rate_index] * 1000 // hz + padding, samples, hz)


def _adts_frame(data: bytes, at: int) -> _Frame | None:
    """The AAC frame at `at` (ISO 13818-7, ADTS); None where there is none."""
    if at + ADTS_HEADER > len(data):
        return None
    head = int.from_bytes(data[at : at + ADTS_HEADER], "big")
    sync, layer, hz_index, size = head >> 44, head >> 41 & 3, head >> 34 & 15, head >> 13 & 0x1FFF
    if sync != ADTS_SYNC or layer or hz_index >= len(AAC_HZ) or size <= ADTS_HEADER:
        return None
    return _Frame(size, 1024, AAC_HZ[hz_index])


def _is_adts(data: bytes) -> bool:
    return _adts_frame(data, 0) is not None


def _is_mp3(data: bytes) -> bool:
    return data[:3] == b"ID3" or _mp3_frame(data, 0) is not None


READERS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], int | None]], ...]] = (
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WAVE", _wav),
    (lambda data: data[:4] == b"fLaC", _flac),
    (lambda data: data[:4] == b"OggS", _ogg),
    (lambda data: data[4:8] == b"ftyp", _mp4),
    (lambda data: data[:4] == b"\x1aE\xdf\xa3", _matroska),
    (_is_adts, lambda data: _walked(data, 0, _adts_frame)),
    (_is_mp3, _mp3),
)
