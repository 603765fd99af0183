"""Sentiment of short texts about a market: bearish, neutral or bullish.

Place in the path: step 4, called by `deployments.forecast`. A sentence encoder turns each text
into a vector, a lexicon counts words of direction, and a linear classifier over both (trained by
`models/starter_forecast/train_sentiment.py`) gives three probabilities. The encoder is loaded at
the first use: many installations never send a text. English only.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.sources import locate

LABELS = ("bearish", "neutral", "bullish")
LEAST_LEAN = 0.15
"""Mean score from which several texts together count as leaning to one side."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one text says. `score` is P(bullish) - P(bearish), from -1 to 1."""

    label: str
    score: float


class SentimentReader:
    """Encoder and classifier.

    Args:
        encoder: a sentence-transformers model; see `models.sources`.
        head: safetensors file with `weight` (3, dimensions + 2) and `bias` (3,).
    """

    def __init__(self, encoder: str, head: Path, device: str) -> None:
        self._source = locate(encoder)
        self._head_file = head
        self._device = device
        self._loading = threading.Lock()
        self._torch: Any = None
        self._encoder: Any = None
        self._head: Any = None

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """One reading per text. Blocks: call it off the event loop."""
        from models.starter_forecast.lexicon import counts

        self._load()
        vectors = self._encoder.encode(
            list(texts), normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False
        )
        counted = vectors.new_tensor([counts(text) for text in texts])
        features = self._torch.cat([vectors, counted], dim=1).float()
        logits = features @ self._head["weight"].T + self._head["bias"]
        return [_reading(row) for row in logits.softmax(1).tolist()]

    def _load(self) -> None:
        import torch
        from safetensors.torch import load_file
        from sentence_transformers import SentenceTransformer

        with self._loading:
            if self._encoder is None:
                self._torch = torch
                self._head = load_file(self._head_file, device=self._device)
                self._encoder = SentenceTransformer(self._source, device=self._device).eval()


def _reading(probabilities: Sequence[float]) -> Reading:
    bearish, _, bullish = probabilities
    best = max(range(len(LABELS)), key=probabilities.__getitem__)
    return Reading(LABELS[best], round(bullish - bearish, 4))


def overall(readings: Sequence[Reading]) -> Reading:
    """What several texts say together: the mean score, and which way it leans."""
    score = round(sum(reading.score for reading in readings) / len(readings), 4)
    if abs(score) < LEAST_LEAN:
        return Reading("neutral", score)
    return Reading("bullish" if score > 0 else "bearish", score)
