"""Words as stores compare them, and as sparse vectors with BM25's weights.

Place in the path: under the stores of Qdrant, which multiplies vectors but counts no words, and
itself weighs how rare one is, and of Weaviate, which counts words but takes them as they are
written. Words lose case and plural endings; the commonest English ones are left out. Other
languages are found as they stand.
BM25 as of Robertson and Zaragoza, "The Probabilistic Relevance Framework" (2009).
"""

import re
from collections import Counter
from hashlib import blake2b

SATURATION = 1.2
LENGTH_WEIGHT = 0.75
USUAL_LENGTH = 128
"""Words of a usual passage: the true mean is not known where passages come one by one."""
MAX_WORDS = 32
"""Of a question."""
STOP = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are as at be but by do does for from had has have how i if in into is it its no
        not of on or s so such t than that the their then there these they this to was were what
        when where which who why will with you your
        """,
    )
)
WORD = re.compile(r"\w+")
SHORT = 3
"""Letters of a word that is left as it is."""


def of_passage(text: str) -> dict[int, float]:
    """Weight of each word of a passage, by the word's number; empty when it has none."""
    counts = Counter(words_of(text))
    size = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * counts.total() / USUAL_LENGTH
    return {
        _number(word): count * (SATURATION + 1) / (count + SATURATION * size)
        for word, count in counts.items()
    }


def of_question(text: str) -> dict[int, float]:
    """One for each word of a question, by the word's number; empty when it has none."""
    return {_number(word): 1.0 for word in dict.fromkeys(words_of(text)[:MAX_WORDS])}


def words_of(text: str) -> list[str]:
    """The words of a text that count, in its order and as often as they stand there."""
    found = WORD.findall(text.casefold())
    return [_singular(word) for word in found if word not in STOP]


def _singular(word: str) -> str:
    """Harman's rules of plurals: a little of a stemmer, and never wrong by much."""
    if len(word) <= SHORT or not word.endswith("s") or word.endswith(("us", "ss", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    if word.endswith("es") and word.endswith(("aes", "ees", "oes")):
        return word
    return word[:-1]


def _number(word: str) -> int:
    """32 bits: two of a million words of one passage hardly ever share one."""
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big")
