"""Lessons: a sentence as espeak-ng says it, cut into the frames of each of its phonemes.

Exact durations come from the library's phoneme events, so the student needs no aligner. Coqui's
phonemizer and the events differ here and there (clauses, pauses); they are matched as two strings.
"""

import random
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from models.espeak import Speech, Voice, espeak
from models.starter_speech import VOICES

PAUSES = str.maketrans(dict.fromkeys("!'(),-.:;?", " "))
TAIL_S = 0.2
"""Silence after the last word: it belongs to the end mark, which every sentence has."""


@dataclass(frozen=True)
class Lesson:
    ids: list[int]
    durations: list[int]
    """Frames of each id; at least one, as the model itself ensures when it speaks."""
    mel: Any
    """(frames, 80) float32."""
    speaker: int


def lesson(model: Any, text: str, rng: random.Random) -> Lesson | None:
    """What one voice makes of `text`; None if its sounds cannot be told apart."""
    speaker = rng.randrange(len(VOICES))
    phonemes = model.tokenizer.phonemizer.phonemize(text, separator="", language=None)
    phonemes = "".join(c for c in phonemes if model.tokenizer.encode(c))
    speech = espeak().speak(text, Voice(list(VOICES.values())[speaker], rate=160))
    samples = _samples(speech)
    mel = model.ap.melspectrogram(samples).T
    starts = starts_of(phonemes, speech)
    if starts is None:
        return None
    hop = model.ap.hop_length
    edges = [0, *(round(start / hop) for start in starts[1:]), len(mel)]
    durations = at_least_one(np.diff(np.array(edges)).tolist())
    ids = model.tokenizer.encode(phonemes)
    return Lesson(ids, durations, mel.astype(np.float32), speaker) if durations else None


def starts_of(phonemes: str, speech: Speech) -> list[float] | None:
    """First sample of each character of `phonemes`, in order."""
    heard, times = [], []
    ends = [start for start, _ in speech.phonemes[1:]] + [len(speech.samples) // 2]
    for (start, name), end in zip(speech.phonemes, ends, strict=True):
        characters = name or " "
        for index, character in enumerate(characters):
            heard.append(character)
            times.append(start + (end - start) * index / len(characters))
    matcher = SequenceMatcher(None, phonemes.translate(PAUSES), "".join(heard), autojunk=False)
    starts: list[float | None] = [None] * len(phonemes)
    for a, b, size in matcher.get_matching_blocks():
        for offset in range(size):
            starts[a + offset] = times[b + offset]
    if sum(start is not None for start in starts) < 0.6 * len(phonemes):
        return None
    following = float(len(speech.samples) // 2)
    known = list[float]()
    for found in reversed(starts):
        following = following if found is None else found
        known.append(following)
    return known[::-1]


def at_least_one(durations: list[int]) -> list[int]:
    """The same sum with no entry under one: the nearest long neighbours give. Empty if short."""
    if sum(durations) < len(durations):
        return []
    for index in range(len(durations)):
        while durations[index] < 1:
            giver = min((i for i, d in enumerate(durations) if d > 1), key=lambda i: abs(i - index))
            durations[giver] -= 1
            durations[index] += 1
    return durations


def _samples(speech: Speech) -> Any:
    samples = np.frombuffer(speech.samples, np.int16).astype(np.float32) / 32768
    return np.concatenate([samples, np.zeros(int(TAIL_S * speech.sample_rate), np.float32)])
