"""Train the forecasters: ``python -m models.starter_forecast.train``.

One thread; simulated series are drawn on the fly, so no window is seen twice, and the shipped
sample is never seen. ``--prices FILE --until DATE`` mixes in windows of one's own data (a CSV like
the sample), all from before that day. Ends with calibration on fresh series.

Place in the path: training only. It measures nothing: ``backtest`` does.
"""

import argparse
import csv
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.starter_forecast import WEIGHTS
from models.starter_forecast.network import Forecasters, Shape, save
from models.starter_forecast.simulate import Paths, random_market, simulate
from models.starter_forecast.windows import HORIZONS, WINDOW, Windows, pinball, targets, windows

SERIES = 256
DAYS = WINDOW + HORIZONS[-1] + 160
WINDOWS_PER_SERIES = 16
LEAST_LENGTH = 63
"""Returns of the shortest series that a request may bring."""
SHORT_SHARE = 0.25
SILENT_SHARE = 0.25
"""Share of windows that are cut short, and of those without volume, as requests may be."""
CALIBRATION_SEED = 7_000_000
CALIBRATION_DRAWS = 10
OWN_SHARE = 0.5


@dataclass(frozen=True)
class Examples:
    """Windows and what came after them: (batch, horizons)."""

    windows: Windows
    actual: Tensor


@dataclass(frozen=True)
class Options:
    steps: int
    batch: int
    rate: float
    seed: int
    out: Path
    prices: Path | None = None
    until: str = "9999"


def cut(paths: Paths, rng: np.random.Generator, count: int) -> Examples:
    """`count` windows at random places of random series of `paths`."""
    n, days = paths.log_price.shape
    series = rng.integers(0, n, count)[:, None]
    today = rng.integers(WINDOW, days - HORIZONS[-1], count)[:, None]
    past = today + np.arange(-WINDOW, 1)
    log_price = paths.log_price[series, past]
    log_volume = paths.log_volume[series, past].copy()
    log_volume[rng.random(count) < SILENT_SHARE] = np.nan
    short = rng.random(count) < SHORT_SHARE
    length = np.where(short, rng.integers(LEAST_LENGTH, WINDOW, count), WINDOW)
    future = paths.log_price[series, today + np.arange(1, HORIZONS[-1] + 1)] - log_price[:, -1:]
    made = windows(
        torch.from_numpy(log_price), torch.from_numpy(log_volume), torch.from_numpy(length)
    )
    return Examples(made, targets(torch.from_numpy(future), made.scale))


def drawn(seed: int) -> Examples:
    """A fresh pool of windows from fresh simulated series."""
    rng = np.random.default_rng(seed)
    paths = simulate(rng, random_market(rng, SERIES), DAYS)
    return cut(paths, rng, SERIES * WINDOWS_PER_SERIES)


def own_series(path: Path, until: str) -> list[Paths]:
    """The series of a CSV (symbol, time, close, volume) before `until`, if long enough."""
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["time"] < until:
                rows[row["symbol"]].append((float(row["close"]), float(row["volume"] or "nan")))
    tables: list[NDArray[np.float64]] = [np.log(np.array(table)).T for table in rows.values()]
    return [
        Paths(table[:1], table[1:]) for table in tables if table.shape[1] > WINDOW + HORIZONS[-1]
    ]


def batches(options: Options) -> Iterator[Examples]:
    """Batches without end, each window once."""
    own = own_series(options.prices, options.until) if options.prices else []
    seed = options.seed * 100_000
    while True:
        seed += 1
        pool = drawn(seed)
        count = len(pool.actual)
        for start in range(0, count - options.batch + 1, options.batch):
            yield _part(pool, slice(start, start + options.batch))
            if own:
                rng = np.random.default_rng([seed, start])
                yield cut(own[rng.integers(len(own))], rng, round(options.batch * OWN_SHARE))


def _part(pool: Examples, rows: slice) -> Examples:
    kept = Windows(pool.windows.features[rows], pool.windows.scale[rows])
    return Examples(kept, pool.actual[rows])


def pace(step: int, steps: int) -> float:
    """Share of the full rate: warm-up, then a cosine down to zero."""
    return min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))


def fit(forecasters: Forecasters, options: Options) -> None:
    """Both networks on the same batches, each with its own loss."""
    optimizer = torch.optim.AdamW(forecasters.parameters(), lr=options.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: pace(s, options.steps))
    began, smooth = time.monotonic(), torch.zeros(2)
    for step, batch in zip(range(options.steps), batches(options), strict=False):
        losses = [
            pinball(network(batch.windows.features), batch.actual)
            for network in forecasters.networks.values()
        ]
        sum(losses, torch.zeros(())).backward()
        for network in forecasters.networks.values():
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        now = torch.stack(losses).detach()
        smooth = now if step == 0 else 0.99 * smooth + 0.01 * now
        if step % 100 == 0:
            spent = time.monotonic() - began
            print(f"step {step} lstm {smooth[0]:.4f} transformer {smooth[1]:.4f} {spent:.0f} s")


def calibrate(forecasters: Forecasters) -> None:
    """On series that training never drew."""
    pools = [drawn(CALIBRATION_SEED + index) for index in range(CALIBRATION_DRAWS)]
    features = torch.cat([pool.windows.features for pool in pools])
    with torch.inference_mode():
        forecasters.calibrate(features, torch.cat([pool.actual for pool in pools]))


def train(options: Options) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    forecasters = Forecasters(Shape())
    print(f"{sum(p.numel() for p in forecasters.parameters()):,} parameters", flush=True)
    fit(forecasters, options)
    calibrate(forecasters.eval())
    save(forecasters, options.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--prices", type=Path, help="own prices to learn from as well")
    parser.add_argument("--until", default="9999", help="first day that must not be learnt from")
    train(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
