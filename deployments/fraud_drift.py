"""Drift: whether the rows that come now look like the rows that training saw.

Place in the path: beside step 4. Each replica keeps the last rows of each kind in a ring of fixed
size; comparing happens only when somebody asks. It changes no score.

The measure is the population stability index, the sum over bins of (p - q) ln(p / q) with p the
share of rows now and q that of training. By custom, from 0.1 something changed and from 0.25 the
model should be looked at (Siddiqi, Credit Risk Scorecards, 2006).
"""

import threading
from collections.abc import Mapping
from typing import Any

from models.fraud_files import DetectorFile, Histogram

KEPT_ROWS = 20_000
FEWEST_ROWS = 200
"""With fewer, chance alone moves the index past its bounds."""
MOST_OF_A_PIECE = 500
"""Rows kept of a piece of 10,000, evenly spread: one huge batch is not all of the present."""
CHANGED = 0.1
DRIFTED = 0.25
SCORE = "score"


class DriftMonitor:
    """The last rows of one kind, and how they compare."""

    def __init__(self, facts: DetectorFile) -> None:
        import numpy as np

        self._np = np
        self._references: Mapping[str, Histogram] = {**facts.histograms, SCORE: facts.scores}
        self._ring = np.empty((KEPT_ROWS, len(self._references)), dtype=np.float32)
        self._seen = 0
        self._keeping = threading.Lock()

    def keep(self, rows: Any, scores: Any) -> None:
        """Remember some of `rows` (n, columns) with their `scores` (n). From any thread."""
        step = -(-len(rows) // MOST_OF_A_PIECE)
        with self._keeping:
            self._put(rows[::step], scores[::step])

    def _put(self, rows: Any, scores: Any) -> None:
        start = self._seen % KEPT_ROWS
        first = min(len(rows), KEPT_ROWS - start)
        for at, part in ((start, slice(None, first)), (0, slice(first, None))):
            count = len(scores[part])
            self._ring[at : at + count, :-1] = rows[part]
            self._ring[at : at + count, -1] = scores[part]
        self._seen += len(rows)

    def report(self) -> dict[str, Any]:
        """The index of every feature and of the score, the largest first."""
        with self._keeping:
            recent = self._ring[: min(self._seen, KEPT_ROWS)].copy()
        enough = len(recent) >= FEWEST_ROWS
        indices = {
            name: self._index(reference, recent[:, column]) if enough else None
            for column, (name, reference) in enumerate(self._references.items())
        }
        score = indices.pop(SCORE)
        features = sorted(indices.items(), key=lambda item: -(item[1] or 0.0))
        return {
            "rows": len(recent),
            "score": _entry(score),
            "features": [{"feature": name} | _entry(index) for name, index in features],
        }

    def _index(self, reference: Histogram, values: Any) -> float:
        np = self._np
        known = values[~np.isnan(values)]
        bins = len(reference.edges) + 1
        counts = np.bincount(np.searchsorted(reference.edges, known), minlength=bins)
        counts = np.append(counts, len(values) - len(known))
        # Half a row in every bin, on both sides: an empty one would make the index infinite.
        now = (counts + 0.5) / (len(values) + 0.5 * len(counts))
        then = np.array(reference.shares) * len(values) + 0.5
        then = then / then.sum()
        return float(((now - then) * np.log(now / then)).sum())


def _entry(index: float | None) -> dict[str, Any]:
    if index is None:
        return {"psi": None, "status": "too few rows"}
    status = "stable" if index < CHANGED else "changed" if index < DRIFTED else "drifted"
    return {"psi": round(index, 4), "status": status}
