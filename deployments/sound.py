"""Sound from strangers: decoded with limits, or refused with the field's name.

Place in the path: step 4, before any model hears a recording. Content decides what a file is, never
its name. It decodes piece by piece to 16 kHz mono, so that hours of sound take minutes of memory;
it does not know what is said.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from core.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np

SAMPLE_RATE = 16_000
CONTAINERS = (
    "aac",
    "ac3",
    "aiff",
    "amr",
    "asf",
    "au",
    "avi",
    "caf",
    "eac3",
    "flac",
    "flv",
    "matroska,webm",
    "mov,mp4,m4a,3gp,3g2,mj2",
    "mp3",
    "mpeg",
    "mpegts",
    "ogg",
    "w64",
    "wav",
    "wv",
)
"""Demuxers that read one file and nothing else: playlists, which open other files, are not here."""
MAX_BAD_PACKETS = 100
CUT_WINDOW_S = 10.0
"""A block ends at its quietest moment of the last so many seconds, so that no word is cut."""
QUIET_S = 0.1


class Block(NamedTuple):
    """A stretch of a recording."""

    start_s: float
    samples: "np.ndarray[Any, Any]"
    """Mono float32 at 16 kHz, -1 to 1."""
    last: bool


def blocks(
    data: bytes, block_s: float, max_s: float, param: str = "file", reserved_s: float | None = None
) -> Iterator[Block]:
    """The sound of `data` in blocks of about `block_s` seconds.

    Args:
        data: an audio or video file, in any container of `CONTAINERS`.
        max_s: seconds after which a recording is refused; by its header first, then by counting.
        reserved_s: what its header claimed; a file that holds more is refused.

    Raises:
        InvalidRequest: not a sound file, broken, empty, or too long.
    """
    import numpy as np

    size, kept, done = int(block_s * SAMPLE_RATE), list[Any](), 0
    held = 0
    for piece in _pieces(data, max_s, param):
        kept.append(piece)
        held += len(piece)
        _check_length((done + held) / SAMPLE_RATE, max_s, reserved_s, param)
        while held >= size:
            samples = np.concatenate(kept)
            cut = _quietest(samples[:size])
            yield Block(done / SAMPLE_RATE, _floats(samples[:cut]), last=False)
            done += cut
            kept, held = [samples[cut:]], len(samples) - cut
    if done + held == 0:
        raise InvalidRequest(f"'{param}' holds no sound: it is 0 seconds long", param)
    yield Block(done / SAMPLE_RATE, _floats(np.concatenate(kept)), last=True)


def _check_length(seconds: float, max_s: float, reserved_s: float | None, param: str) -> None:
    if seconds > max_s:
        raise too_long(seconds, max_s, param)
    if reserved_s is not None and seconds > reserved_s:
        raise InvalidRequest(
            f"'{param}' holds more sound than its header says ({reserved_s:.1f} seconds)", param
        )


def too_long(seconds: float, max_s: float, param: str) -> InvalidRequest:
    """The error for a recording of more than `max_s` seconds."""
    return InvalidRequest(
        f"'{param}' is {seconds:.0f} seconds long or more; this model takes {max_s:.0f} seconds",
        param,
    )


def _pieces(data: bytes, max_s: float, param: str) -> Iterator[Any]:
    """16-bit mono samples as they are decoded."""
    import av

    with _opened(data, param) as container:
        stream = container.streams.audio[0]
        claimed = _claimed_s(container, stream)
        if claimed > max_s:
            raise too_long(claimed, max_s, param)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        for frame in _frames(container, stream, param):
            frame.pts = None
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray()[0]
        for resampled in resampler.resample(None):
            yield resampled.to_ndarray()[0]


@contextmanager
def _opened(data: bytes, param: str) -> Iterator[Any]:
    import av

    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": ""}
    try:
        container = av.open(io.BytesIO(data), "r", options=options, metadata_errors="ignore")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InvalidRequest(
            f"'{param}' is not a sound file that can be read here, or it is broken", param
        ) from error
    with container:
        if not container.streams.audio:
            raise InvalidRequest(f"'{param}' holds no sound", param)
        try:
            yield container
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise InvalidRequest(f"'{param}' is broken: {_reason(error)}", param) from error


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", "") or type(error).__name__)[:100]


def _claimed_s(container: Any, stream: Any) -> float:
    """Seconds by the header; 0 when it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1_000_000


def _frames(container: Any, stream: Any, param: str) -> Iterator[Any]:
    """Decoded frames. A few broken packets are passed over, as players do; more are an error."""
    import av

    bad = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError as error:
            bad += 1
            if bad > MAX_BAD_PACKETS:
                raise InvalidRequest(f"'{param}' is broken", param) from error


def _quietest(samples: Any) -> int:
    """Index of the quietest moment near the end."""
    import numpy as np

    step = int(QUIET_S * SAMPLE_RATE)
    count = max(1, min(len(samples) // 2, int(CUT_WINDOW_S * SAMPLE_RATE)) // step)
    tail = samples[len(samples) - count * step :].astype(np.float32)
    energy = np.square(tail).reshape(count, step).sum(axis=1)
    return int(len(samples) - (count - int(energy.argmin())) * step + step // 2)


def _floats(samples: Any) -> Any:
    import numpy as np

    return samples.astype(np.float32) / 32768.0
