"""A detector: the trees of one kind of rows, their thresholds, novelty and drift.

Place in the path: step 4. Packed rows in, JSON out; it knows neither requests nor other kinds. It
may judge in several threads at a time: xgboost's predictions are thread-safe, and so is the drift
monitor (https://xgboost.readthedocs.io/en/stable/prediction.html#thread-safety).
"""

from pathlib import Path
from typing import Any

import orjson

from core.fraud_features import Kind
from core.fraud_rows import Rows
from deployments.fraud_drift import DriftMonitor
from deployments.fraud_reasons import novelty_reason, reasons
from deployments.fraud_results import SCORE_UNITS, ResultWriter
from models.fraud_files import DetectorFile, Thresholds, trees_path

DECISIONS: dict[Kind, tuple[str, str, str]] = {
    "transaction": ("approve", "review", "decline"),
    "network": ("allow", "alert", "block"),
    "trading": ("clear", "review", "escalate"),
}
"""Below the review threshold, from it on, and from the decline threshold on."""
FEW_ROWS = 1_000
"""Up to this many, waking a second thread takes longer than it saves."""


class Detector:
    """One kind.

    Args:
        directory: of the trees; see `models.fraud_files`.
        thresholds: in place of the file's.
        threads: of one large batch.
    """

    def __init__(
        self, directory: Path, facts: DetectorFile, thresholds: Thresholds | None, threads: int
    ) -> None:
        import numpy as np
        import xgboost

        from models.fraud_novelty import Novelty

        self.kind = facts.kind
        self.words = DECISIONS[facts.kind]
        self.thresholds = thresholds or facts.thresholds
        self._np, self._xgboost = np, xgboost
        self._columns = len(facts.features)
        self._threads = threads
        self._trees_of_few = _trees(xgboost, trees_path(directory, facts.kind), 1)
        self._trees_of_many = _trees(xgboost, trees_path(directory, facts.kind), threads)
        self._novelty = Novelty(facts.novelty) if facts.novelty else None
        self._drift = DriftMonitor(facts)
        self._writer = ResultWriter(self.words)

    def matrix(self, rows: Rows) -> Any:
        """(rows, columns) in float32; NaN is unknown."""
        columns = self._np.frombuffer(rows.values, dtype=self._np.float32)
        return self._np.ascontiguousarray(columns.reshape(self._columns, rows.size).T)

    def judge(self, matrix: Any, threshold: float | None, *, explained: bool) -> bytes | memoryview:
        """Results of the rows as JSON objects with commas between.

        Args:
            threshold: of review, in place of this detector's.
        """
        contributions = self._contributions(matrix) if explained else None
        if contributions is None:
            scores = self._trees_for(matrix).inplace_predict(matrix)
        else:
            scores = 1 / (1 + self._np.exp(-contributions.sum(axis=1)))
        self._drift.keep(matrix, scores)
        millionths = self._np.rint(scores.astype(self._np.float64) * SCORE_UNITS)
        surprise = self._novelty.surprise(matrix) if self._novelty else None
        levels = self._levels(millionths, surprise, threshold)
        if contributions is None:
            return self._writer.write(millionths, levels)
        results = self._explained(millionths, levels, matrix, contributions)
        self._tell_novelty(results, surprise)
        return orjson.dumps(results)[1:-1]

    def drift(self) -> dict[str, Any]:
        """See `deployments.fraud_drift`."""
        return {"kind": self.kind} | self._drift.report()

    def _levels(self, millionths: Any, surprise: Any, threshold: float | None) -> Any:
        """For each row the index of its decision in `words`.

        What is sent is what is compared: a score that reads 0.5 has reached a threshold of 0.5.
        """
        review = self.thresholds.review if threshold is None else threshold
        decline = max(review, self.thresholds.decline)
        levels = (millionths >= review * SCORE_UNITS) + 1 * (millionths >= decline * SCORE_UNITS)
        if self._novelty is None:
            return levels
        # Nothing is known of a novel row, least of all that it is fine.
        return self._np.maximum(levels, surprise > self._novelty.limit)

    def _explained(
        self, millionths: Any, levels: Any, matrix: Any, contributions: Any
    ) -> list[dict[str, Any]]:
        columns = (millionths, levels, matrix, contributions)
        return [
            {
                "score": score / SCORE_UNITS,
                "decision": self.words[level],
                "reasons": reasons(self.kind, values, moved[:-1], suspicious=level > 0),
            }
            for score, level, values, moved in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _tell_novelty(self, results: list[dict[str, Any]], surprise: Any) -> None:
        """After the reasons for the score: the first one only where the score gave none."""
        if self._novelty is None:
            return
        for index in self._np.flatnonzero(surprise > self._novelty.limit).tolist():
            told = novelty_reason(float(surprise[index]), self._novelty.limit)
            results[index]["reasons"].append(told)

    def _contributions(self, matrix: Any) -> Any:
        """(rows, columns + 1) log-odds: of each feature, and of no feature (TreeSHAP; Lundberg
        and others, Consistent Individualized Feature Attribution for Tree Ensembles, 2018).
        """
        threads = 1 if len(matrix) <= FEW_ROWS else self._threads
        rows = self._xgboost.DMatrix(matrix, nthread=threads)
        trees = self._trees_for(matrix)
        return trees.predict(rows, pred_contribs=True, validate_features=False)

    def _trees_for(self, matrix: Any) -> Any:
        return self._trees_of_few if len(matrix) <= FEW_ROWS else self._trees_of_many


def _trees(xgboost: Any, path: Path, threads: int) -> Any:
    trees = xgboost.Booster({"nthread": threads})
    trees.load_model(path)
    trees.set_param({"nthread": threads})
    return trees
