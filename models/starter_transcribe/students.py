"""starter-speech as a speaker of utterances: the transcriber learns its voices too.

For training, a bank of sentences is spoken beforehand: Griffin-Lim takes longer than training on
what it makes, and a recording roughened anew each time is good for many examples.
"""

import random
from functools import cache
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from models.starter_speech import VOICES as STUDENTS
from models.starter_speech import WEIGHTS
from models.starter_transcribe.utterances import (
    Line,
    Samples,
    Speaker,
    Teller,
    drawn,
    espeak_speaker,
    telling,
    to_16k,
)

STUDENT_SHARE = 0.35
SPEEDS = (92, 108)
"""Percent: a recording is played a little slower or faster than it was made."""


@cache
def student() -> Any:
    """The shipped speech model."""
    from models.coqui import Speaker as Student

    return Student(WEIGHTS)


def student_speaker() -> Speaker:
    """Says any sentence with one of starter-speech's voices."""

    def say(text: str, rng: random.Random) -> Samples:
        voice = rng.choice(list(STUDENTS))
        return to_16k(student().say(f"{text.capitalize()}.", voice, None))

    return say


def mixed_teller(count: int, seed: int) -> Teller:
    """espeak-ng's voices, and `count` sentences by starter-speech's."""
    rng = random.Random(seed)
    say = student_speaker()
    texts = [drawn(rng) for _ in range(count)]
    bank: list[Line] = [(text, say(text, rng)) for text in texts]
    by_length = {
        longest: [line for line in bank if len(line[0].split()) <= longest]
        for longest in range(1, 9)
    }
    teachers = telling(espeak_speaker())

    def tell(rng: random.Random, longest: int) -> Line:
        if rng.random() >= STUDENT_SHARE:
            return teachers(rng, longest)
        text, samples = rng.choice(by_length[longest])
        return text, np.asarray(resample_poly(samples, 100, rng.randint(*SPEEDS)), np.float32)

    return tell
