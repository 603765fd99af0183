"""Audio encoding: samples in, bytes of a playable stream out, as soon as there are some.

Place in the path: after synthesis. FFmpeg through PyAV: a filter changes the speed without changing
the pitch and resamples, then an encoder and a muxer write into memory. Nothing seeks back, so what
was written can be sent. It does not know where samples come from.
"""

import io
from typing import Any

from core.pcm import PCM_RATE, wav_header
from core.speech import AudioFormat

OPUS_RATE = 48_000
BIT_RATES = {"mp3": 64_000, "opus": 32_000, "aac": 64_000}
CODECS = {"mp3": "libmp3lame", "opus": "libopus", "aac": "aac", "flac": "flac"}
CONTAINERS = {"mp3": "mp3", "opus": "ogg", "aac": "adts", "flac": "flac"}
OPTIONS = {
    # The tag at the front of an MP3 holds its length, which is not known yet.
    "mp3": {"write_xing": "0"},
    # Microseconds: a page is sent when it is full, and by default holds a whole second.
    "opus": {"page_duration": "200000"},
}
SLOWEST_STEP, FASTEST_STEP = 0.5, 2.0
"""Where FFmpeg's `atempo` sounds best; further changes are made in steps."""
FRAME = 2048
"""Samples that are filtered at a time: `atempo` holds back about two frames."""


class Encoder:
    """One stream of mono audio in one format.

    Args:
        kind: what to write.
        rate: samples per second of what comes in.
        speed: above 1 is faster; pitch stays.
    """

    def __init__(self, kind: AudioFormat, rate: int, speed: float = 1.0) -> None:
        self._filter = _Filter(rate, {"pcm": PCM_RATE, "opus": OPUS_RATE}.get(kind, rate), speed)
        self._sink: _Raw | _Muxer
        if kind in CODECS:
            self._sink = _Muxer(kind, self._filter.rate)
        else:
            self._sink = _Raw(wav_header(self._filter.rate) if kind == "wav" else b"")

    def feed(self, samples: Any) -> bytes:
        """Encode float samples (-1 to 1); the bytes that are ready."""
        return self._sink.write(self._filter.feed(samples))

    def finish(self) -> bytes:
        """The rest."""
        return self._sink.write(self._filter.finish()) + self._sink.finish()


class _Filter:
    """Speed and sample rate."""

    def __init__(self, rate: int, out_rate: int, speed: float) -> None:
        import av

        self.rate = out_rate
        self._in_rate = rate
        self._pts = 0
        graph = av.filter.Graph()
        last = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono")
        steps = [graph.add("atempo", f"{step:.6f}") for step in tempo_steps(speed)]
        form = f"sample_fmts=s16:sample_rates={out_rate}:channel_layouts=mono"
        for node in (*steps, graph.add("aformat", form), graph.add("abuffersink")):
            last.link_to(node)
            last = node
        graph.configure()
        self._graph = graph

    def feed(self, samples: Any) -> list[Any]:
        import av
        import numpy as np

        whole = np.clip(np.asarray(samples, np.float32), -1.0, 1.0)
        data = (whole * 32767).astype(np.int16)[None]
        frames = []
        for start in range(0, data.shape[1], FRAME):
            part = np.ascontiguousarray(data[:, start : start + FRAME])
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate = self._in_rate
            frame.pts = self._pts
            self._pts += part.shape[1]
            self._graph.push(frame)
            frames += self._pull()
        return frames

    def finish(self) -> list[Any]:
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> list[Any]:
        import av

        frames = []
        while True:
            try:
                frames.append(self._graph.pull())
            except (av.BlockingIOError, av.EOFError):
                return frames


class _Raw:
    """Bare samples, after a header if there is one."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def write(self, frames: list[Any]) -> bytes:
        header, self._header = self._header, b""
        return header + b"".join(frame.to_ndarray().tobytes() for frame in frames)

    def finish(self) -> bytes:
        return b""


class _Muxer:
    """A codec in a container, both written from front to back."""

    def __init__(self, kind: AudioFormat, rate: int) -> None:
        import av

        self._out = _Outbox()
        self._container: Any = av.open(
            self._out, "w", format=CONTAINERS[kind], options=OPTIONS.get(kind, {})
        )
        self._stream = _stream(self._container, kind, rate)
        codec = self._stream.codec_context
        self._resampler = av.AudioResampler(
            format=codec.format, layout="mono", rate=rate, frame_size=codec.frame_size or None
        )

    def write(self, frames: list[Any]) -> bytes:
        for frame in frames:
            for fitting in self._resampler.resample(frame):
                self._container.mux(self._stream.encode(fitting))
        return self._out.take()

    def finish(self) -> bytes:
        for fitting in self._resampler.resample(None):
            self._container.mux(self._stream.encode(fitting))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._out.take()


def _stream(container: Any, kind: AudioFormat, rate: int) -> Any:
    stream = container.add_stream(CODECS[kind], rate=rate, layout="mono")
    if kind in BIT_RATES:
        stream.bit_rate = BIT_RATES[kind]
    return stream


class _Outbox(io.RawIOBase):
    """A file that is only written, and emptied as it goes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        taken, self._data = bytes(self._data), bytearray()
        return taken


def tempo_steps(speed: float) -> list[float]:
    """Factors that multiply to `speed`, each one that sounds well; none for 1."""
    steps = []
    while not SLOWEST_STEP <= speed <= FASTEST_STEP:
        step = SLOWEST_STEP if speed < 1 else FASTEST_STEP
        steps.append(step)
        speed /= step
    return [*steps, speed] if abs(speed - 1) > 1e-6 else steps  # noqa: PLR2004
