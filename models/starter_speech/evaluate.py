"""Measure starter-speech: ``python -m models.starter_speech.evaluate``.

Held-out sentences of the 50-word vocabulary are spoken by both voices and given to listeners; a
word counts when it is heard in its place. Listeners: starter-transcribe, which was trained on
these voices too, and pocketsphinx (a development package), which never heard them. For scale,
pocketsphinx also listens to espeak-ng itself, the teacher. Writes ``scores.json``.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models import judged
from models.coqui import Speaker as Student
from models.starter_speech import VOICES, WEIGHTS
from models.starter_transcribe import WEIGHTS as EAR
from models.starter_transcribe.evaluate import listener
from models.starter_transcribe.utterances import (
    Samples,
    Speaker,
    drawn,
    espeak_speaker,
    to_16k,
)
from models.starter_transcribe.vocabulary import WORDS

SCORES = Path(__file__).parent / "scores.json"
Hear = Callable[[Samples], str]


def recovered(said: str, heard: str) -> int:
    """Words of `said` that are heard in their order (longest common subsequence)."""
    reference, guess = said.split(), heard.split()
    row = [0] * (len(guess) + 1)
    for word in reference:
        last = 0
        for j, other in enumerate(guess, start=1):
            last, row[j] = row[j], last + 1 if word == other else max(row[j], row[j - 1])
    return row[-1]


def pocketsphinx_listener() -> Hear:
    """CMU's recogniser with its own English model and a loop of our words."""
    from pocketsphinx import Config, Decoder

    decoder = Decoder(Config(lm=None, loglevel="FATAL", samprate=16000))
    words = " | ".join(WORDS)
    decoder.add_jsgf_string("words", f"#JSGF V1.0; grammar w; public <s> = ({words})+;")
    decoder.activate_search("words")

    def hear(samples: Samples) -> str:
        loud = samples / max(1e-6, float(np.abs(samples).max())) * 0.6
        padded = np.concatenate([np.zeros(4000), loud, np.zeros(8000)])
        decoder.start_utt()
        decoder.process_raw((padded * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""

    return hear


def student_speaker(student: Student, voice: str) -> Speaker:
    """One voice of the model."""

    def say(text: str, rng: random.Random) -> Samples:
        return to_16k(student.say(f"{text.capitalize()}.", voice, None))

    return say


def share_heard(hear: Hear, say: Speaker, count: int) -> float:
    """Share of the words of `count` held-out sentences that are heard."""
    rng = random.Random(21)
    right = words = 0
    for _ in range(count):
        text = drawn(rng, held_out=True)
        right += recovered(text, hear(say(text, rng)))
        words += len(text.split())
    return round(right / words, 4)


def measure(folder: Path, ear: Path, count: int) -> dict[str, Any]:
    """All the figures of the card."""
    student = Student(folder)
    listeners = {"starter-transcribe": listener(ear), "pocketsphinx": pocketsphinx_listener()}
    scores: dict[str, Any] = {"sentences": count}
    for name, hear in listeners.items():
        for voice, teacher in VOICES.items():
            scores[f"{voice}, heard by {name}"] = share_heard(
                hear, student_speaker(student, voice), count
            )
            scores[f"teacher of {voice}, heard by {name}"] = share_heard(
                hear, espeak_speaker((teacher,)), count
            )
    started = time.process_time()
    samples = student.say("The red circle and the blue square move to the left.", "alto", None)
    spent = time.process_time() - started
    scores["CPU seconds per second of speech"] = round(spent * student.rate / len(samples), 3)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--ear", type=Path, default=EAR)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--out", type=Path, default=SCORES)
    options = parser.parse_args()
    scores = measure(options.weights, options.ear, options.count)
    options.out.write_text(json.dumps(scores, indent=2) + "\n")
    judged.write(options.out, options.weights, options.ear)
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
