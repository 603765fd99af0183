"""Sounds for tests: tones in any format, made by the encoder that is served."""

import io

import av
import numpy as np

from deployments.audio_encoder import Encoder


def tone(seconds, rate=22050, pitch=440.0):
    """A sine of half the full scale."""
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)


def encoded(samples, kind="wav", rate=22050, speed=1.0):
    encoder = Encoder(kind, rate, speed)
    return encoder.feed(samples) + encoder.finish()


def contained(samples, name, codec, rate=16000):
    """In a container that the encoder does not write, such as mp4 or matroska."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=name) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        data = (np.asarray(samples) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=stream.codec_context.sample_rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def pitch_of(samples, rate):
    """The loudest frequency, in hertz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))
