"""The text side of starter-video: a T5 tokenizer of its own, made from the captions.

Its pieces are the captions' words and every printable character, so that any plain text has tokens.
"""

import math
import re
import string
from collections import Counter

import numpy as np
from transformers import T5Tokenizer

from models.starter_image.scenes import split
from models.starter_video.clips import caption, random_clip

MARKS = ("<pad>", "</s>", "<unk>")
"""T5's numbers for them: 0, 1, 2."""
SPACE = "▁"
"""Begins a word."""
CONTEXT = 32
"""Tokens of a prompt, its end included. A pipeline must be called with this `max_sequence_length`:
prompts are filled up to it, and another length is another input."""
SAMPLE = 12_000
RARE = -15.0
"""Log probability of single characters: words are taken whole where they are known."""


def build(seed: int) -> T5Tokenizer:
    """A tokenizer whose pieces come from captions."""
    rng = np.random.default_rng(seed)
    allowed, _ = split()
    counts: Counter[str] = Counter()
    for index in range(SAMPLE):
        text = caption(random_clip(rng, allowed), rng, given=index % 3 == 0)
        counts.update(re.findall(r"[A-Za-z]+", text))
    whole = sum(counts.values())
    pieces = [(mark, 0.0) for mark in MARKS]
    pieces += [(character, RARE) for character in SPACE + _characters()]
    pieces += [(SPACE + word, math.log(count / whole)) for word, count in sorted(counts.items())]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=CONTEXT)


def _characters() -> str:
    return string.ascii_letters + string.digits + string.punctuation
