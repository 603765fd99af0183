"""What the fakes of databases share: BM25 over texts, and cosine similarity."""

import math
import re
from collections import Counter
from collections.abc import Sequence

STOP = {"a", "an", "and", "the", "of", "in", "is", "has", "with", "which", "to"}
K1, B = 1.2, 0.75


def tokens(text: str) -> list[str]:
    """Words as an English analyzer of such a database gives them, roughly."""
    words = (word for word in re.findall(r"\w+", text.lower()) if word not in STOP)
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]


def bm25(texts: Sequence[Sequence[str]], question: Sequence[str]) -> list[float]:
    """A score of each text, given as its words; 0 where it has no word of the question."""
    counted = [Counter(text) for text in texts]
    mean = sum(count.total() for count in counted) / max(len(counted), 1) or 1
    scores = [0.0] * len(texts)
    for word in set(question):
        holders = sum(word in count for count in counted)
        idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
        for place, count in enumerate(counted):
            size = K1 * (1 - B + B * count.total() / mean)
            scores[place] += idf * count[word] * (K1 + 1) / (count[word] + size)
    return scores


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
