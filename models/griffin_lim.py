"""Fast Griffin-Lim: a waveform for a spectrogram without phases, in half the rounds.

Place in the path: inside speech models that have no vocoder, in place of Coqui's own loop, the
classic one, which spends most of a sentence's time on complex exponentials. Here librosa does it,
with momentum, after Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (2013). It
changes no model: with a vocoder nothing of this runs.
"""

from typing import Any

ROUNDS = 0.5
"""Of those that a model's configuration asks for: with momentum so many already come closer to the
spectrogram than all of them without."""
MOMENTUM = 0.99
SILENCE = 1
"""Samples of it for a spectrogram that is not finite, as Coqui answers."""


def use_in(processor: Any) -> None:
    """Make Coqui's audio processor find phases with `griffin_lim`."""
    processor._griffin_lim = lambda spectrogram: griffin_lim(processor, spectrogram)  # noqa: SLF001


def griffin_lim(processor: Any, spectrogram: Any) -> Any:
    """A float32 waveform for amplitudes of shape (1 + fft / 2, frames); the same each time."""
    import librosa
    import numpy as np

    amplitudes = np.abs(spectrogram).astype(np.float32)
    if not np.isfinite(amplitudes).all():
        return np.zeros(SILENCE, np.float32)
    return librosa.griffinlim(
        amplitudes,
        n_iter=max(1, round(processor.griffin_lim_iters * ROUNDS)),
        hop_length=processor.hop_length,
        win_length=processor.win_length,
        n_fft=processor.fft_size,
        pad_mode=processor.stft_pad_mode,
        momentum=MOMENTUM,
        random_state=0,
    )
