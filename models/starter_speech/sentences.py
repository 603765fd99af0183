"""Sentences to learn to say: English from Python's own documentation, and the transcriber's words.

The documentation (`pydoc_data.topics` and the docstrings of the standard library, part of every
Python) is only read for its words: what is learnt is how English is spelt out in sound. Held-out
sentences are never drawn for training.
"""

import ast
import random
import re
import sysconfig
from pathlib import Path
from pydoc_data import topics

from models.starter_transcribe import utterances
from models.starter_transcribe.vocabulary import WORDS

WORD = re.compile(r"[a-z]{1,14}")
PLAIN = re.compile(r"[A-Za-z ,]+[.?!]")
LONGEST_WORDS = 14


def prose() -> list[str]:
    """Every plain sentence of three words or more; letters, commas and an end mark only."""
    texts = [topics.topics[name] for name in sorted(topics.topics)]
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py")):
        texts += _docstrings(path.read_text(encoding="utf-8"))
    found = [s for text in texts for s in PLAIN.findall(" ".join(text.split()))]
    return [s.strip() for s in found if 3 <= len(s.split()) <= LONGEST_WORDS]


def _docstrings(source: str) -> list[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    return [text for node in nodes if (text := ast.get_docstring(node))]


class Sentences:
    """Draws sentences without end; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._prose = prose()
        self._words = sorted({w for s in self._prose for w in WORD.findall(s.lower())})

    def draw(self) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.45:
            return rng.choice(self._prose)
        if kind < 0.65:
            return self._mixture(self._words)
        if kind < 0.75:
            return self._mixture(WORDS)
        return f"{utterances.drawn(rng).capitalize()}."

    def _mixture(self, words: list[str] | tuple[str, ...]) -> str:
        """Words in any order, so that none is known only beside another."""
        rng = self._rng
        chosen = rng.choices(words, k=rng.randint(1, 8))
        while utterances.is_held_out(" ".join(chosen)):
            chosen = rng.choices(words, k=rng.randint(1, 8))
        text = " ".join(w + ("," if rng.random() < 0.12 else "") for w in chosen).strip(",")
        return f"{text.capitalize()}{rng.choice('...?!')}"
