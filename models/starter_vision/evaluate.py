"""Measure starter-vision: ``python -m models.starter_vision.evaluate``.

Held-out combinations only, asked through the folder's own processor and greedy decoding, as the
deployment does. Clean pictures and worn ones are counted apart.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from models import judged
from models.starter_image.scenes import Pixels, Scene, draw, random_scene, split
from models.starter_vision import WEIGHTS, questions
from models.starter_vision.pictures import picture
from models.starter_vision.questions import Asked

BATCH = 32
SCORES = Path(__file__).parent / "scores.json"
Draw = Callable[[random.Random, Scene], Pixels]


class Answerer:
    """The weights with their processor."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, asked: Sequence[tuple[Pixels, str]]) -> list[str]:
        """One answer for each picture and question."""
        answers: list[str] = []
        for start in range(0, len(asked), BATCH):
            answers += self._batch(asked[start : start + BATCH])
        return answers

    def _batch(self, asked: Sequence[tuple[Pixels, str]]) -> list[str]:
        conversations = [[_message(pixels, question)] for pixels, question in asked]
        inputs = self.processor.apply_chat_template(
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        )
        with torch.inference_mode():
            ids = self.model.generate(**inputs, max_new_tokens=40)
        found = ids[:, inputs["input_ids"].shape[1] :]
        answers: list[str] = self.processor.batch_decode(found, skip_special_tokens=True)
        return answers


def _message(pixels: Pixels, question: str) -> dict[str, Any]:
    content = [
        {"type": "image", "image": Image.fromarray(pixels)},
        {"type": "text", "text": question},
    ]
    return {"role": "user", "content": content}


def clean(_: random.Random, scene: Scene) -> Pixels:
    """As starter-image's own training pictures, without jitter of tones."""
    return draw(scene)


def held_out(seed: int, count: int, kind: str, drawn: Draw) -> list[tuple[Pixels, Asked]]:
    """Questions of one kind about scenes that training never showed."""
    rng, generator = random.Random(seed), np.random.default_rng(seed)
    _, held = split()
    scenes = [random_scene(generator, held) for _ in range(count)]
    return [(drawn(rng, scene), questions.draw_kind(rng, scene, kind)) for scene in scenes]


def score(answerer: Answerer, examples: Sequence[tuple[Pixels, Asked]]) -> float:
    """Share of answers that are exactly right."""
    answers = answerer.answer([(pixels, asked.question) for pixels, asked in examples])
    right = [a == asked.answer for a, (_, asked) in zip(answers, examples, strict=True)]
    return sum(right) / len(right)


def scores(answerer: Answerer, seed: int, count: int) -> dict[str, Any]:
    """Share of right answers by kind of question, on clean and on worn pictures."""
    return {
        name: {
            kind: round(score(answerer, held_out(seed, count, kind, drawn)), 4)
            for kind in questions.KINDS
        }
        for name, drawn in (("clean", clean), ("worn", picture))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--count", type=int, default=300, help="questions of each kind")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--write", action="store_true", help="keep the result in scores.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    answerer = Answerer(options.weights)
    found = {
        "seed": options.seed,
        "count": options.count,
        "parameters": sum(p.numel() for p in answerer.model.parameters()),
        "held_out": scores(answerer, options.seed, options.count),
    }
    print(json.dumps(found, indent=2))
    if options.write:
        SCORES.write_text(json.dumps(found, indent=2) + "\n")
        judged.write(SCORES, options.weights)


if __name__ == "__main__":
    main()
