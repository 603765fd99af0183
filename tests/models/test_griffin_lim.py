"""Fast Griffin-Lim: nearer to the spectrogram than Coqui's loop, and the same each time."""

from types import SimpleNamespace

import numpy as np
import pytest

from models.griffin_lim import griffin_lim

librosa = pytest.importorskip("librosa")
PROCESSOR = SimpleNamespace(
    griffin_lim_iters=32, hop_length=256, win_length=1024, fft_size=1024, stft_pad_mode="reflect"
)


def amplitudes(samples):
    return np.abs(librosa.stft(samples, n_fft=1024, hop_length=256))


def spoken():
    """A tone that rises and fades, in some noise: nothing that one phase could tell."""
    time = np.arange(22_050) / 22_050
    tone = np.sin(2 * np.pi * (200 + 300 * time) * time) * np.exp(-2 * time)
    return (tone + 0.01 * np.random.default_rng(1).standard_normal(len(time))).astype(np.float32)


def off(found, wanted):
    frames = min(found.shape[1], wanted.shape[1])
    return np.linalg.norm(found[:, :frames] - wanted[:, :frames]) / np.linalg.norm(wanted)


def test_it_comes_nearer_than_the_classic_loop_of_twice_the_rounds():
    wanted = amplitudes(spoken())
    classic = librosa.griffinlim(wanted, n_iter=32, hop_length=256, momentum=0, random_state=0)
    assert off(amplitudes(griffin_lim(PROCESSOR, wanted)), wanted) < off(
        amplitudes(classic), wanted
    )


def test_the_same_spectrogram_sounds_the_same():
    wanted = amplitudes(spoken())
    assert np.array_equal(griffin_lim(PROCESSOR, wanted), griffin_lim(PROCESSOR, wanted))


def test_what_is_not_finite_is_silence():
    assert griffin_lim(PROCESSOR, np.full((513, 4), np.nan)).tolist() == [0.0]
