"""Encoded audio: plays everywhere, keeps its pitch at any speed, leaves before it is whole."""

import io
import wave

import numpy as np
import pytest

from core.pcm import PCM_RATE
from deployments.audio_encoder import Encoder, tempo_steps
from deployments.sound import SAMPLE_RATE, blocks
from tests.deployments.sounds import encoded, pitch_of, tone

FORMATS = ["mp3", "opus", "aac", "flac", "wav"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("speed", [0.25, 0.8, 2.0, 4.0])
def test_speed_changes_the_length_and_not_the_pitch(kind, speed):
    (block,) = blocks(encoded(tone(4.0), kind, speed=speed), 300, 1000)
    assert len(block.samples) / SAMPLE_RATE == pytest.approx(4.0 / speed, abs=0.15)
    assert pitch_of(block.samples, SAMPLE_RATE) == pytest.approx(440, abs=4)


def test_pcm_is_what_openai_sends():
    samples = np.frombuffer(encoded(tone(2.0), "pcm"), "<i2")
    assert len(samples) == pytest.approx(2 * PCM_RATE, abs=50)
    assert pitch_of(samples, PCM_RATE) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("speed", [1.0, 1.5])
def test_bytes_come_before_the_sound_has_ended(kind, speed):
    encoder = Encoder(kind, 22050, speed)
    first = encoder.feed(tone(2.0))
    assert len(first) > 1000
    rest = encoder.feed(tone(2.0)) + encoder.finish()
    (block,) = blocks(first + rest, 300, 1000)
    assert len(block.samples) / SAMPLE_RATE == pytest.approx(4.0 / speed, abs=0.15)


def test_a_wav_that_is_still_being_made_can_be_read_by_plain_readers():
    with wave.open(io.BytesIO(encoded(tone(1.0), "wav"))) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (
            22050,
            1,
            2,
        )
        assert len(reader.readframes(10**6)) == 2 * 22050


def test_too_loud_samples_are_clipped_not_wrapped_around():
    samples = np.frombuffer(encoded(np.full(1000, 3.0), "wav")[44:], "<i2")
    assert samples.min() > 32000


@pytest.mark.parametrize("speed", [0.25, 0.4, 0.5, 1.0, 1.99, 2.0, 3.0, 4.0])
def test_speed_is_reached_in_steps_that_sound_well(speed):
    steps = tempo_steps(speed)
    assert np.prod([1.0, *steps]) == pytest.approx(speed)
    assert all(0.5 <= step <= 2.0 for step in steps)
