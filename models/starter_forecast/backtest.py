"""Back-test: ``python -m models.starter_forecast.backtest`` writes `scores.json`.

Rolling origin: on every day of the held-out part (the sample's last year), each method sees the
days before and forecasts the days after. Compared with three baselines that know no training:

    naive             tomorrow is today
    drift             today, plus the mean daily return of the window for every day ahead
    seasonal naive    the same weekday of last week

Errors are of the price, relative to the price at the origin, so that coins can be pooled. The
baselines' distribution, for the quantile loss, is normal with the window's volatility.

Place in the path: measurement only.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from models import judged
from models.starter_forecast import PRICES, SCORES, WEIGHTS
from models.starter_forecast.network import METHODS, Forecasters, files, load
from models.starter_forecast.simulate import Paths, random_market, simulate
from models.starter_forecast.train import own_series
from models.starter_forecast.windows import (
    HORIZONS,
    MEDIAN,
    QUANTILES,
    WINDOW,
    Windows,
    pinball,
    targets,
    windows,
)

HELD_OUT_DAYS = 365
FRESH_SEED = 9_000_000
FRESH_SERIES = 4000
BASELINES = ("naive", "drift", "seasonal naive")
SHOWN_HORIZONS = (1, 7, 30, 90)
INTERVALS = {0.5: (0.25, 0.75), 0.8: (0.1, 0.9), 0.9: (0.05, 0.95), 0.95: (0.025, 0.975)}
WEEK = 7


@dataclass(frozen=True)
class Origins:
    """Every origin of a set of series: windows, and what came after, in two units.

    Args:
        past: (origins, WINDOW + 1) log prices up to the origin.
        actual: (origins, horizons) log returns in units of scale x sqrt(days).
    """

    windows: Windows
    past: Tensor
    actual: Tensor


@dataclass(frozen=True)
class Score:
    """One method on one set of origins.

    Args:
        error: mean absolute error by horizon, of the price, relative to the origin's price.
        versus_naive: mean over the horizons of `error` relative to the naive method's.
        pinball: mean quantile loss over all horizons and quantiles, in units of volatility.
        coverage: by nominal interval, the share of actual values inside, over all horizons.
        coverage_90: of the 90 % interval, by horizon.
    """

    method: str
    error: dict[str, float]
    versus_naive: float
    pinball: float
    coverage: dict[str, float]
    coverage_90: dict[str, float]


def origins(paths: list[Paths], first: int) -> Origins:
    """All origins from day `first` on of which the whole longest horizon is known."""
    past, volume, future = [], [], []
    for path in paths:
        for price, traded in zip(path.log_price, path.log_volume, strict=True):
            for today in range(max(first, WINDOW), price.size - HORIZONS[-1]):
                past.append(price[today - WINDOW : today + 1])
                volume.append(traded[today - WINDOW : today + 1])
                future.append(price[today + 1 : today + 1 + HORIZONS[-1]] - price[today])
    before = torch.from_numpy(np.array(past))
    made = windows(before, torch.from_numpy(np.array(volume)), torch.full((len(past),), WINDOW))
    return Origins(made, before, targets(torch.from_numpy(np.array(future)), made.scale))


def held_out_sample(prices: Path) -> Origins:
    """The last year of the shipped sample. Windows may reach back; nothing was learnt from any."""
    paths = own_series(prices, "9999")
    return origins(paths, paths[0].log_price.shape[1] - HELD_OUT_DAYS)


def fresh() -> Origins:
    """One origin each of many series that were never drawn before: independent evidence."""
    rng = np.random.default_rng(FRESH_SEED)
    days = WINDOW + HORIZONS[-1] + 1
    return origins([simulate(rng, random_market(rng, FRESH_SERIES), days)], WINDOW)


def baseline(name: str, origin: Origins) -> Tensor:
    """(origins, horizons, quantiles) in units of scale x sqrt(days)."""
    days = torch.tensor(HORIZONS, dtype=torch.float64)
    scale = origin.windows.scale.double()
    if name == "naive":
        centre = torch.zeros(len(scale), len(days), dtype=torch.float64)
    elif name == "drift":
        centre = (origin.past[:, -1] - origin.past[:, 0])[:, None] / WINDOW * days
    else:
        last_week = [WINDOW - WEEK + 1 + (day - 1) % WEEK for day in HORIZONS]
        centre = origin.past[:, last_week] - origin.past[:, -1:]
    z = torch.tensor([NormalDist().inv_cdf(level) for level in QUANTILES])
    return (centre / (scale[:, None] * days.sqrt())).float()[:, :, None] + z


def predictions(networks: Forecasters, origin: Origins) -> Mapping[str, Tensor]:
    """Quantiles of every baseline and method."""
    with torch.inference_mode():
        found = {m: networks(origin.windows.features, m) for m in METHODS}
    return {name: baseline(name, origin) for name in BASELINES} | found


def relative_error(quantiles: Tensor, origin: Origins) -> Tensor:
    """(horizons,) mean |predicted - actual| / price at the origin, for the median."""
    unit = origin.windows.scale[:, None] * torch.tensor(HORIZONS).sqrt()
    predicted, actual = (quantiles[:, :, MEDIAN] * unit).exp(), (origin.actual * unit).exp()
    return (predicted - actual).abs().mean(0)


def inside(quantiles: Tensor, origin: Origins, interval: tuple[float, float]) -> Tensor:
    """(horizons,) share of actual values in the interval."""
    low, high = (quantiles[:, :, QUANTILES.index(level)] for level in interval)
    return ((origin.actual >= low) & (origin.actual <= high)).float().mean(0)


def scores(networks: Forecasters, origin: Origins) -> list[Score]:
    found = predictions(networks, origin)
    naive = relative_error(found["naive"], origin)
    return [_score(name, quantiles, origin, naive) for name, quantiles in found.items()]


def _score(name: str, quantiles: Tensor, origin: Origins, naive: Tensor) -> Score:
    error = relative_error(quantiles, origin)
    ninety = inside(quantiles, origin, INTERVALS[0.9])
    shown = {str(h): HORIZONS.index(h) for h in SHOWN_HORIZONS}
    return Score(
        method=name,
        error={h: _short(error[i]) for h, i in shown.items()},
        versus_naive=_short((error / naive).mean()),
        pinball=_short(pinball(quantiles, origin.actual)),
        coverage={
            str(nominal): _short(inside(quantiles, origin, pair).mean())
            for nominal, pair in INTERVALS.items()
        },
        coverage_90={h: _short(ninety[i]) for h, i in shown.items()},
    )


def _short(value: Tensor) -> float:
    assert math.isfinite(value)
    return round(float(value), 4)


def table(found: list[Score]) -> str:
    """The scores as Markdown."""
    heads = ["method", *(f"error {h} d" for h in SHOWN_HORIZONS), "against naive", "pinball"]
    heads += [f"inside {nominal:.0%}" for nominal in INTERVALS]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for score in found:
        cells = [score.method, *(f"{e:.2%}" for e in score.error.values())]
        cells += [f"{score.versus_naive - 1:+.1%}", f"{score.pinball:.4f}"]
        cells += [f"{c:.1%}" for c in score.coverage.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--prices", type=Path, default=PRICES)
    parser.add_argument("--out", type=Path, default=SCORES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = load(options.weights)
    document = {}
    for name, origin in (("sample", held_out_sample(options.prices)), ("fresh", fresh())):
        found = scores(networks, origin)
        print(f"{name}: {len(origin.actual)} origins\n{table(found)}\n")
        document[name] = {"origins": len(origin.actual), "scores": [asdict(s) for s in found]}
    options.out.write_text(json.dumps(document, indent=2) + "\n")
    judged.write(options.out, options.prices, *files(networks, options.weights))


if __name__ == "__main__":
    main()
