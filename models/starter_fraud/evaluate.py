"""Score the shipped fraud models: ``python -m models.starter_fraud.evaluate``.

Rows are drawn with seeds that training never uses; a table goes to the terminal and
``scores.json`` beside this file. It measures how well the models know the drawn world, which says
nothing about anybody's real payments, networks or trades.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from sklearn.metrics import average_precision_score, roc_auc_score  # type: ignore[import-untyped]

from core.fraud_features import names
from models import judged
from models.fraud_files import read, trees_path
from models.fraud_novelty import Novelty
from models.starter_fraud import HERE, WEIGHTS
from models.starter_fraud.drawing import Drawn, World, draw, draw_unseen, with_gaps
from models.starter_fraud.worlds import WORLDS

SCORES = HERE / "scores.json"
SEED = 2026
ROWS = 50_000
UNSEEN_ROWS = 2_000


@dataclass(frozen=True)
class Scores:
    """Figures of one kind; shares are of 1."""

    kind: str
    rows: int
    fraud_share: float
    auc: float
    auc_with_gaps: float
    """Every row lacks some of what is not required, up to 70 % of it."""
    average_precision: float
    review_recall: float
    review_precision: float
    decline_recall: float
    decline_precision: float
    recall_by_cause: dict[str, float]
    """At the review threshold."""
    named_by_cause: dict[str, float]
    """Frauds at the review threshold whose first reason is a sign of their planted cause."""
    named: float
    unseen_by_score: dict[str, float]
    """Of causes that training never saw: share that scores reach the review threshold."""
    unseen_with_novelty: dict[str, float]
    novel_ordinary: float | None
    """Ordinary rows that are called novel."""


class Judge:
    """The shipped model of one kind."""

    def __init__(self, world: World, weights: Path = WEIGHTS) -> None:
        self.world = world
        self.facts = read(weights)[world.kind]
        self.booster = xgboost.Booster({"nthread": 1})
        self.booster.load_model(trees_path(weights, world.kind))
        self.novelty = Novelty(self.facts.novelty) if self.facts.novelty else None

    def scores(self, rows: Any) -> Any:
        """0 to 1 for each row."""
        return self.booster.inplace_predict(rows)

    def first_reasons(self, rows: Any) -> Any:
        """The feature that raises the log-odds of each row most."""
        matrix = xgboost.DMatrix(rows)
        contributions = self.booster.predict(matrix, pred_contribs=True, validate_features=False)
        return np.array(names(self.world.kind))[contributions[:, :-1].argmax(axis=1)]

    def novel(self, rows: Any) -> Any:
        """Which rows are novel; none where the kind has no novelty model."""
        if self.novelty is None:
            return np.zeros(len(rows), dtype=bool)
        return self.novelty.surprise(rows) > self.novelty.limit


def evaluate(world: World, rows: int = ROWS) -> Scores:
    """Every figure of one kind."""
    judge = Judge(world)
    drawn = draw(world, SEED, rows)
    labels, scores = drawn.labels, judge.scores(drawn.rows)
    gappy = with_gaps(world, drawn.rows, SEED, affected=1.0)
    review = scores >= judge.facts.thresholds.review
    decline = scores >= judge.facts.thresholds.decline
    named = _named(judge, drawn, review)
    unseen = {name: draw_unseen(world, name, SEED, UNSEEN_ROWS).rows for name in world.unseen}
    return Scores(
        kind=world.kind,
        rows=rows,
        fraud_share=_share(labels == 1),
        auc=round(float(roc_auc_score(labels, scores)), 4),
        auc_with_gaps=round(float(roc_auc_score(labels, judge.scores(gappy))), 4),
        average_precision=round(float(average_precision_score(labels, scores)), 4),
        review_recall=_share(review[labels == 1]),
        review_precision=_share(labels[review] == 1),
        decline_recall=_share(decline[labels == 1]),
        decline_precision=_share(labels[decline] == 1),
        recall_by_cause={name: _share(review[drawn.causes == name]) for name in world.causes},
        named_by_cause={name: _share(named[name]) for name in world.causes},
        named=_share(np.concatenate(list(named.values()))),
        unseen_by_score={name: _share(_flagged(judge, r)) for name, r in unseen.items()},
        unseen_with_novelty={
            name: _share(_flagged(judge, r) | judge.novel(r)) for name, r in unseen.items()
        },
        novel_ordinary=_share(judge.novel(drawn.rows[labels == 0])) if judge.novelty else None,
    )


def _flagged(judge: Judge, rows: Any) -> Any:
    return judge.scores(rows) >= judge.facts.thresholds.review


def _named(judge: Judge, drawn: Drawn, review: Any) -> dict[str, Any]:
    """For each cause, of its rows that reach review: whether the first reason is a sign of it."""
    found = {}
    for name, cause in judge.world.causes.items():
        first = judge.first_reasons(drawn.rows[(drawn.causes == name) & review])
        found[name] = np.isin(first, list(cause.signs))
    return found


def _share(hits: Any) -> float:
    return round(float(np.mean(hits)), 4) if len(hits) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    scores = [evaluate(world, options.rows) for world in WORLDS.values()]
    for score in scores:
        print(json.dumps(asdict(score), indent=2))
    document = {"seed": SEED, "scores": [asdict(score) for score in scores]}
    SCORES.write_text(json.dumps(document, indent=2) + "\n")
    judged.write(SCORES, WEIGHTS)


if __name__ == "__main__":
    main()
