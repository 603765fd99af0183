"""Utterances to learn from: sentences of the vocabulary, spoken by espeak-ng, then roughened.

Everything is drawn from a `random.Random`, so a seed gives the same sentences; sounds are alike,
for espeak-ng lets pitch flutter by a chance of its own. Held-out sentences are chosen by a hash of
their text and never drawn for training.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import fftconvolve, firwin, resample_poly

from models.espeak import Voice, espeak
from models.starter_transcribe.vocabulary import (
    ACTIONS,
    COLOURS,
    DIGITS,
    REST,
    SHAPES,
    THINGS,
    WAYS,
    WORDS,
)

SAMPLE_RATE = 16_000
VOICES = ("en-us", "en-us+f3", "en")
HELD_OUT_OF = 10
CHUNK_S = 12
"""Longest window of speech that the model learns; longer recordings are heard in such windows."""

UP, DOWN = 320, 441
# Designed once: SciPy would design the same filter for every call, at the cost of the call.
_TAPS = firwin(20 * DOWN + 1, 1 / DOWN, window=("kaiser", 5.0))

Samples = np.ndarray[Any, np.dtype[np.float32]]
Speaker = Callable[[str, random.Random], Samples]
Line = tuple[str, Samples]
"""A sentence and how it was said."""
Teller = Callable[[random.Random, int], Line]
"""Draws a training sentence of at most so many words, and says it."""


@dataclass(frozen=True)
class Segment:
    """One sentence of an utterance. Times in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Utterance:
    samples: Samples
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)


def is_held_out(sentence: str) -> bool:
    """One sentence in ten is for evaluation only. Single words are too few to hold out."""
    digest = hashlib.sha256(sentence.encode()).digest()
    return " " in sentence and digest[0] % HELD_OUT_OF == 0


def sentence(rng: random.Random, longest: int = 8) -> str:
    """Half commands as people say them, half words in any order."""
    if rng.random() < 0.5 or longest < 3:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, longest)))
    return " ".join(_command(rng).split()[:longest])


def drawn(rng: random.Random, *, held_out: bool = False, longest: int = 8) -> str:
    """A sentence of the training set, or of the held-out set."""
    while True:
        found = sentence(rng, longest)
        if is_held_out(found) == held_out:
            return found


def _command(rng: random.Random) -> str:
    pick = rng.choice
    thing = f"the {pick(THINGS)}"
    shape = f"the {pick(COLOURS)} {pick(SHAPES)}"
    text = pick(
        (
            f"turn {pick(WAYS[4:])} {thing}",
            f"turn {thing} {pick(WAYS[4:])}",
            f"make {thing} {pick(COLOURS)}",
            f"make the {pick(SHAPES)} {pick(COLOURS)}",
            f"move {shape} {pick(WAYS[:4])}",
            f"draw {pick(DIGITS[1:])} {pick(COLOURS)} {pick(SHAPES)}",
            f"{pick(ACTIONS[:6])} {thing}",
            f"{pick(REST[:2])} {pick(ACTIONS[:4])} {thing}",
            " ".join(rng.choices(DIGITS, k=rng.randint(2, 7))),
            f"{shape} and {shape}",
            f"play the next music {pick(('louder', 'again'))}",
        )
    )
    return f"{text} please" if rng.random() < 0.2 else text


def espeak_speaker(voices: tuple[str, ...] = VOICES) -> Speaker:
    """Says a sentence with one of the voices, each time a little faster, slower, higher, lower."""

    def say(text: str, rng: random.Random) -> Samples:
        voice = Voice(
            rng.choice(voices),
            rate=rng.randint(130, 200),
            pitch=rng.randint(35, 65),
            pitch_range=rng.randint(35, 65),
        )
        speech = espeak().speak(text, voice)
        return to_16k(np.frombuffer(speech.samples, np.int16) / 32768.0)

    return say


def to_16k(samples: Any) -> Samples:
    """22,050 Hz to 16 kHz."""
    return np.asarray(resample_poly(samples, UP, DOWN, window=_TAPS), np.float32)


def telling(speaker: Speaker) -> Teller:
    """Draws a sentence, then says it."""

    def tell(rng: random.Random, longest: int) -> Line:
        text = drawn(rng, longest=longest)
        return text, speaker(text, rng)

    return tell


def utterance(rng: random.Random, lines: list[Line], *, cut_s: float = CHUNK_S) -> Utterance:
    """The lines in turn with pauses between, cut at `cut_s`.

    A sentence that does not fit is only begun, and its end is not known.
    """
    pieces = [_silence(rng.uniform(0.02, 0.6))]
    at = len(pieces[0]) / SAMPLE_RATE
    segments = []
    for text, said in lines:
        spoken = _trimmed(said)
        segments.append(Segment(at, at + len(spoken) / SAMPLE_RATE, text))
        pieces += [spoken, _silence(rng.uniform(0.25, 1.2))]
        at += (len(spoken) + len(pieces[-1])) / SAMPLE_RATE
    samples = np.concatenate(pieces)[: int(cut_s * SAMPLE_RATE)]
    return Utterance(samples, tuple(s for s in segments if s.start < cut_s - 0.2))


def roughened(samples: Samples, rng: random.Random) -> Samples:
    """Another microphone and room: gain, tilt, echo, noise."""
    draw = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < 0.3:
        tilt = rng.uniform(-0.5, 0.5)
        samples = samples + tilt * np.concatenate([samples[:1] * 0, samples[:-1]])
    if rng.random() < 0.2:
        length = int(rng.uniform(0.03, 0.2) * SAMPLE_RATE)
        tail = draw.normal(size=length) * np.exp(-6 * np.arange(length) / length)
        room = rng.uniform(0.1, 0.5) * tail / np.sqrt((tail**2).sum())
        room[0] = 1.0
        samples = fftconvolve(samples, room)[: len(samples)]
    if rng.random() < 0.7:
        level = np.sqrt((samples**2).mean() + 1e-9) * 10 ** (-rng.uniform(8, 40) / 20)
        samples = samples + level * _noise(draw, len(samples), rng)
    return np.asarray(samples * 10 ** (-rng.uniform(0, 25) / 20), np.float32)


def noise_alone(rng: random.Random) -> Utterance:
    """A window in which nobody speaks."""
    draw = np.random.default_rng(rng.getrandbits(32))
    length = int(rng.uniform(0.5, 6) * SAMPLE_RATE)
    level = 0.0 if rng.random() < 0.2 else 10 ** rng.uniform(-4, -1.3)
    return Utterance(np.asarray(level * _noise(draw, length, rng), np.float32), ())


def _noise(draw: np.random.Generator, length: int, rng: random.Random) -> Any:
    """White, or smoothed towards low frequencies; unit power."""
    white = draw.normal(size=length)
    if rng.random() < 0.5:
        return white
    low = fftconvolve(white, np.exp(-np.arange(64) / rng.uniform(1, 16)))[:length]
    return low / np.sqrt((low**2).mean() + 1e-9)


def _trimmed(samples: Samples) -> Samples:
    """Without the near silence at both ends."""
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def _silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)
