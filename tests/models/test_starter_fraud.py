"""starter-fraud: its worlds are sound, and its shipped weights do what the model card says."""

import json

import numpy as np
import pytest
import xgboost

from core.errors import SettingsError
from core.fraud_features import FEATURES, KINDS, names
from models.fraud_files import read, trees_path
from models.starter_fraud import HERE, WEIGHTS
from models.starter_fraud.drawing import ORDINARY, draw, draw_unseen, with_gaps
from models.starter_fraud.evaluate import Judge, evaluate
from models.starter_fraud.train import ROUNDS, TRAINING_ROWS, train_trees
from models.starter_fraud.worlds import WORLDS

ROWS = 20_000
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_the_same_seed_draws_the_same_rows(kind):
    world = WORLDS[kind]
    assert np.array_equal(draw(world, 3, 500).rows, draw(world, 3, 500).rows)
    assert not np.array_equal(draw(world, 3, 500).rows, draw(world, 4, 500).rows)


@kinds
def test_drawn_rows_are_rows_that_the_service_accepts(kind):
    rows = draw(WORLDS[kind], 5, 5000).rows
    for column, feature in enumerate(FEATURES[kind]):
        values = rows[:, column]
        assert values.min() >= feature.low, feature.name
        assert values.max() <= feature.high, feature.name
        if feature.choices or feature.unit == "flag":
            assert np.array_equal(values, np.round(values)), feature.name


@kinds
def test_fraud_is_rare_and_every_cause_occurs(kind):
    drawn = draw(WORLDS[kind], 6, ROWS)
    assert 0.01 < drawn.labels.mean() < 0.05
    assert set(drawn.causes) == {ORDINARY, *WORLDS[kind].causes}


@kinds
def test_gaps_never_take_what_is_required(kind):
    rows = with_gaps(WORLDS[kind], draw(WORLDS[kind], 7, 2000).rows, 7, affected=1.0)
    required = [feature.required for feature in FEATURES[kind]]
    assert not np.isnan(rows[:, required]).any()
    assert 0.2 < np.isnan(rows).mean() < 0.5


@kinds
def test_signs_are_features(kind):
    world = WORLDS[kind]
    for cause in (*world.causes.values(), *world.unseen.values()):
        assert cause.signs <= set(names(kind))
    assert world.rising | world.falling <= set(names(kind))


# --- the shipped files ------------------------------------------------------------------------


def test_the_weights_are_small_and_cannot_run_code():
    files = list(WEIGHTS.iterdir())
    assert {path.suffix for path in files} == {".ubj", ".json"}
    assert sum(path.stat().st_size for path in files) < 2 * 2**20


@pytest.mark.parametrize("kind", ["trading"])
def test_training_again_gives_the_same_trees(kind):
    world = WORLDS[kind]
    trees = train_trees(world, draw(world, 1, TRAINING_ROWS), 1, ROUNDS)
    shipped = xgboost.Booster(model_file=trees_path(WEIGHTS, kind))
    rows = draw(world, 99, 1000).rows
    assert np.allclose(trees.inplace_predict(rows), shipped.inplace_predict(rows), atol=1e-5)


@kinds
def test_held_out_rows_are_told_apart_and_reasons_name_the_planted_cause(kind):
    scores = evaluate(WORLDS[kind], ROWS)
    assert scores.auc >= 0.95
    assert scores.auc_with_gaps >= 0.9
    assert scores.average_precision >= 0.85
    assert scores.review_recall >= 0.88
    assert scores.decline_precision >= 0.94
    assert min(scores.recall_by_cause.values()) >= 0.8
    assert scores.named >= 0.85
    assert min(scores.named_by_cause.values()) >= 0.8


@pytest.mark.parametrize("kind", ["network", "trading"])
def test_novelty_finds_what_scores_miss_and_rarely_cries_wolf(kind):
    scores = evaluate(WORLDS[kind], ROWS)
    for name, found in scores.unseen_with_novelty.items():
        assert found >= 0.85, name
        assert found > scores.unseen_by_score[name]
    assert scores.novel_ordinary is not None
    assert scores.novel_ordinary < 0.003


def test_more_of_a_sign_never_lowers_the_score():
    judge = Judge(WORLDS["transaction"])
    rows = draw(WORLDS["transaction"], 11, 500).rows
    column = names("transaction").index("declines_1h")
    before = judge.scores(rows)
    rows[:, column] += 5
    assert (judge.scores(rows) >= before - 1e-6).all()


def test_the_committed_scores_are_those_of_the_card():
    card = (HERE / "CARD.md").read_text().partition("## Measured")[2]
    for score in json.loads((HERE / "scores.json").read_text())["scores"]:
        row = next(line for line in card.splitlines() if line.startswith(f"| {score['kind']} |"))
        for name in ("auc", "average_precision", "review_recall", "named"):
            assert f"{score[name]:.3f}" in row, (score["kind"], name)


def test_unseen_causes_are_never_trained_on():
    for world in WORLDS.values():
        assert not set(world.unseen) & set(world.causes)
        for name in world.unseen:
            assert len(draw_unseen(world, name, 1, 10).rows) == 10


# --- the format -------------------------------------------------------------------------------


def test_a_directory_without_models_is_named(tmp_path):
    with pytest.raises(SettingsError, match=str(tmp_path)):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["amount"]},
        {"thresholds": {"review": 0.9, "decline": 0.1}},
        {"choices": {}},
        {"histograms": {}},
        {"surprise": 1},
    ],
)
def test_facts_that_do_not_fit_are_refused_at_start(tmp_path, change):
    facts = json.loads((WEIGHTS / "transaction.json").read_text())
    (tmp_path / "transaction.json").write_text(json.dumps(facts | change))
    (tmp_path / "transaction.ubj").write_bytes((WEIGHTS / "transaction.ubj").read_bytes())
    with pytest.raises(SettingsError, match=r"transaction\.json"):
        read(tmp_path)
