"""Train the starter fraud models: ``python -m models.starter_fraud.train``.

About a minute on one CPU thread. Rows are drawn (see ``worlds``), trees are xgboost's, novelty is
scikit-learn's; the same seed gives the same files with the same versions of both. It chooses
thresholds on rows of their own; it measures nothing: ``evaluate`` does.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from core.fraud_features import FEATURES, Kind, names
from models.fraud_files import (
    DetectorFile,
    Histogram,
    NoveltyFile,
    Thresholds,
    facts_path,
    trees_path,
)
from models.fraud_novelty import fit as fit_novelty
from models.starter_fraud import WEIGHTS
from models.starter_fraud.drawing import Drawn, World, draw, with_gaps
from models.starter_fraud.worlds import WORLDS

TRAINING_ROWS = 100_000
CHOOSING_ROWS = 60_000
ROUNDS = 160
PARAMETERS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.1,
    "min_child_weight": 4.0,
    "subsample": 0.8,
    "colsample_bytree": 0.7,
    "lambda": 2.0,
    "nthread": 1,
}
BINS = 10
CAUGHT = 0.93
"""Share of fraud that the review threshold is to catch."""
RIGHT = 0.97
"""Share of fraud among what the decline threshold stops."""
COMPONENTS = 4
ORDINARY_QUANTILE = 0.9995
NOVELTY_ROWS = 30_000


def train_kind(world: World, seed: int, out: Path, rounds: int = ROUNDS) -> None:
    """Trees and facts of one kind, into `out`."""
    training = draw(world, seed, TRAINING_ROWS)
    booster = train_trees(world, training, seed, rounds)
    choosing = draw(world, seed + 1, CHOOSING_ROWS)
    scores = booster.inplace_predict(choosing.rows)
    facts = DetectorFile(
        kind=world.kind,
        features=names(world.kind),
        choices={f.name: f.choices for f in FEATURES[world.kind] if f.choices},
        thresholds=choose_thresholds(choosing.labels, scores),
        histograms=_histograms(world.kind, training.rows),
        scores=histogram(scores),
        novelty=_novelty(world, training, choosing, seed),
    )
    booster.save_model(trees_path(out, world.kind))
    facts_path(out, world.kind).write_text(facts.model_dump_json() + "\n")


def train_trees(world: World, training: Drawn, seed: int, rounds: int) -> xgboost.Booster:
    """Trees of the log-odds. Some rows have gaps, so that trees know what to do with unknowns."""
    parameters = PARAMETERS | {
        "seed": seed,
        "monotone_constraints": _directions(world),
    }
    rows = with_gaps(world, training.rows, seed)
    matrix = xgboost.DMatrix(rows, training.labels, feature_names=list(names(world.kind)))
    return xgboost.train(parameters, matrix, rounds)


def choose_thresholds(labels: Any, scores: Any) -> Thresholds:
    """Review catches `CAUGHT` of fraud; decline is the lowest score that is `RIGHT` so often."""
    fraud = np.sort(scores[labels == 1])
    review = float(fraud[int((1 - CAUGHT) * len(fraud))])
    order = np.argsort(-scores)
    right = np.cumsum(labels[order]) / np.arange(1, len(order) + 1)
    last = int(np.flatnonzero(right >= RIGHT)[-1])
    decline = max(float(scores[order][last]), review)
    return Thresholds(review=round(review, 4), decline=round(decline, 4))


def histogram(values: Any) -> Histogram:
    """Deciles, fewer where values repeat, and the share of unknowns."""
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    if len(edges) and edges[-1] == known.max():
        edges = edges[:-1]
    counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    shares = [*(counts / len(values)), 1 - len(known) / len(values)]
    return Histogram(edges=tuple(map(float, edges)), shares=tuple(round(s, 6) for s in shares))


def _histograms(kind: Kind, rows: Any) -> dict[str, Histogram]:
    return {name: histogram(rows[:, column]) for column, name in enumerate(names(kind))}


def _novelty(world: World, training: Drawn, choosing: Drawn, seed: int) -> NoveltyFile | None:
    """Where the world has attacks that no label names."""
    if not world.unseen:
        return None
    return fit_novelty(
        training.rows[training.labels == 0][:NOVELTY_ROWS],
        choosing.rows[choosing.labels == 0],
        components=COMPONENTS,
        quantile=ORDINARY_QUANTILE,
        seed=seed,
    )


def _directions(world: World) -> str:
    """What common sense demands: more declined attempts never lower the risk."""
    signs = [(name in world.rising) - (name in world.falling) for name in names(world.kind)]
    return f"({','.join(map(str, signs))})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for kind, world in WORLDS.items():
        train_kind(world, options.seed, options.out)
        size = (
            trees_path(options.out, kind).stat().st_size
            + facts_path(options.out, kind).stat().st_size
        )
        print(f"{kind}: {size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
