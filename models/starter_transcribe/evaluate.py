"""Measure starter-transcribe: ``python -m models.starter_transcribe.evaluate``.

Word error rate of the shipped weights in faster-whisper, on sentences that training never draws:
spoken by the espeak-ng voices of training, with and without noise, and by starter-speech. Silence
must give no words. Writes ``scores.json``.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import judged
from models.starter_speech import WEIGHTS as SPEAKER
from models.starter_transcribe import WEIGHTS
from models.starter_transcribe.utterances import (
    VOICES,
    Samples,
    Speaker,
    drawn,
    espeak_speaker,
    noise_alone,
    roughened,
    utterance,
)

SCORES = Path(__file__).parent / "scores.json"
Hear = Callable[[Samples], str]


def word_errors(said: str, heard: str) -> int:
    """Substitutions, insertions and deletions (Levenshtein) between two texts' words."""
    reference, guess = said.split(), heard.split()
    row = list(range(len(guess) + 1))
    for i, word in enumerate(reference, start=1):
        last, row[0] = row[0], i
        for j, other in enumerate(guess, start=1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (word != other))
    return row[-1]


def listener(folder: Path) -> Hear:
    """The model as it is served: greedy first, no memory of earlier text."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="float32", cpu_threads=1)

    def hear(samples: Samples) -> str:
        segments, _ = model.transcribe(
            samples, beam_size=1, condition_on_previous_text=False, temperature=0.0
        )
        return "".join(segment.text for segment in segments).strip()

    return hear


def error_rate(
    hear: Hear, speaker: Speaker, count: int, seed: int, *, noisy: bool = False, sentences: int = 1
) -> float:
    """Word error rate over `count` utterances of `sentences` held-out sentences each."""
    rng = random.Random(seed)
    wrong = words = 0
    for _ in range(count):
        texts = [drawn(rng, held_out=True) for _ in range(sentences)]
        spoken = utterance(rng, [(text, speaker(text, rng)) for text in texts], cut_s=30)
        heard = hear(roughened(spoken.samples, rng) if noisy else spoken.samples)
        wrong += word_errors(spoken.text, heard)
        words += len(spoken.text.split())
    return round(wrong / words, 4)


def student_speaker() -> Speaker:
    """starter-speech, both voices."""
    from models.starter_transcribe.students import student_speaker as speaker

    return speaker()


def measure(folder: Path, count: int) -> dict[str, Any]:
    """All the figures of the card."""
    hear = listener(folder)
    rng = random.Random(5)
    silent = [hear(noise_alone(rng).samples) for _ in range(max(5, count // 8))]
    scores: dict[str, Any] = {
        "utterances": count,
        **{
            f"espeak {voice}": error_rate(hear, espeak_speaker((voice,)), count, 11)
            for voice in VOICES
        },
        "espeak, noisy": error_rate(hear, espeak_speaker(), count, 12, noisy=True),
        "espeak, three sentences": error_rate(hear, espeak_speaker(), count // 3, 13, sentences=3),
        "starter-speech": error_rate(hear, student_speaker(), count, 14),
        "words heard in silence": sum(len(text.split()) for text in silent),
    }
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--out", type=Path, default=SCORES)
    options = parser.parse_args()
    scores = measure(options.weights, options.count)
    options.out.write_text(json.dumps(scores, indent=2) + "\n")
    judged.write(options.out, options.weights, SPEAKER)
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
