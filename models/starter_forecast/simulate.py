"""Synthetic daily prices and volumes: what the models learn from, and the shipped sample.

    python -m models.starter_forecast.simulate      writes prices.csv

Place in the path: training only. A price is the sum, in logs, of a trend and a deviation from it:

    volatility   exp of an AR(1): calm and wild weeks (volatility clustering), Student-t shocks
    momentum     the trend's drift is a slow AR(1): moves go on a little longer than by chance
    reversion    the deviation is an AR(1) with a half-life of days: exaggerations are taken back
    volume       rises with volatility and with the size of the day's move; dips at weekends

Momentum and reversion are planted, so that there is something to forecast; real markets have far
less of both. No real price is used.
"""

import argparse
import csv
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.starter_forecast import PRICES

Array = NDArray[np.float64]

SAMPLE_SEED = 2066
"""The first seed whose prices all stay within a factor of five of their start."""
SAMPLE_DAYS = 1096
SAMPLE_END = date(2026, 10, 31)
BURN_IN = 200
"""Days simulated before the first one kept, so that every process has forgotten its start."""
SHOCK_FREEDOM = 5.0
"""Degrees of freedom of the Student-t shocks: heavy tails, finite variance."""


@dataclass(frozen=True)
class Market:
    """Parameters of `n` series; each field is an array of shape (n,).

    Args:
        volatility: typical standard deviation of one day's log return.
        momentum: standard deviation of the drift, in units of `volatility`.
        momentum_memory: AR(1) coefficient of the drift, per day.
        reversion: share of a day's variance that belongs to the deviation.
        reversion_memory: AR(1) coefficient of the deviation, per day.
        wildness: standard deviation of the log of volatility.
        wildness_memory: AR(1) coefficient of the log of volatility, per day.
        growth: mean log return of a day.
    """

    volatility: Array
    momentum: Array
    momentum_memory: Array
    reversion: Array
    reversion_memory: Array
    wildness: Array
    wildness_memory: Array
    growth: Array


@dataclass(frozen=True)
class Paths:
    """Simulated series: log prices and log volumes, both (n, days)."""

    log_price: Array
    log_volume: Array


@dataclass(frozen=True)
class Coin:
    """One series of the sample: where it starts, and how it moves."""

    symbol: str
    price: float
    volatility: float
    momentum: float
    reversion: float


COINS = (
    Coin("BTC", 38_000.0, 0.020, 0.22, 0.30),
    Coin("ETH", 2_200.0, 0.026, 0.24, 0.30),
    Coin("SOL", 70.0, 0.036, 0.26, 0.35),
    Coin("ADA", 0.42, 0.034, 0.20, 0.40),
    Coin("XRP", 0.60, 0.030, 0.22, 0.35),
)


def random_market(rng: np.random.Generator, n: int) -> Market:
    """Markets of all kinds: calm and wild, with and without anything to forecast."""
    half_life = rng.uniform(4.0, 25.0, n)
    return Market(
        volatility=np.exp(rng.uniform(np.log(0.006), np.log(0.06), n)),
        momentum=rng.uniform(0.0, 0.35, n),
        momentum_memory=rng.uniform(0.90, 0.98, n),
        reversion=rng.uniform(0.0, 0.6, n),
        reversion_memory=0.5 ** (1.0 / half_life),
        wildness=rng.uniform(0.15, 0.55, n),
        wildness_memory=rng.uniform(0.94, 0.99, n),
        growth=rng.normal(0.0003, 0.0005, n),
    )


def sample_market() -> Market:
    """The five coins of the sample."""
    n = len(COINS)
    return Market(
        volatility=np.array([coin.volatility for coin in COINS]),
        momentum=np.array([coin.momentum for coin in COINS]),
        momentum_memory=np.full(n, 0.95),
        reversion=np.array([coin.reversion for coin in COINS]),
        reversion_memory=np.full(n, 0.5 ** (1.0 / 8.0)),
        wildness=np.full(n, 0.35),
        wildness_memory=np.full(n, 0.97),
        growth=np.full(n, 0.0004),
    )


def simulate(rng: np.random.Generator, market: Market, days: int) -> Paths:
    """Paths of `days` days, one per series of `market`. Day 0 is at log price 0."""
    n, total = market.volatility.size, days + BURN_IN
    spread = np.sqrt((SHOCK_FREEDOM - 2.0) / SHOCK_FREEDOM)
    trend_shocks = rng.standard_t(SHOCK_FREEDOM, (total, n)) * spread
    deviation_shocks = rng.standard_t(SHOCK_FREEDOM, (total, n)) * spread
    drift_shocks, wild_shocks, volume_shocks = rng.standard_normal((3, total, n))
    drift, wild, level, deviation, noise = np.zeros((5, n))
    prices, volumes = np.empty((2, total, n))
    for day in range(total):
        drift = _ar(drift, market.momentum_memory, drift_shocks[day])
        wild = _ar(wild, market.wildness_memory, wild_shocks[day])
        noise = 0.6 * noise + 0.15 * volume_shocks[day]
        sigma = market.volatility * np.exp(market.wildness * wild - market.wildness**2)
        move = market.growth + market.volatility * market.momentum * drift
        shock = move + sigma * np.sqrt(1 - market.reversion) * trend_shocks[day]
        before = level + deviation
        level = level + shock
        pull = market.reversion_memory * deviation
        deviation = pull + sigma * np.sqrt(market.reversion) * deviation_shocks[day]
        prices[day] = level + deviation
        size = np.abs(prices[day] - before) / market.volatility
        volumes[day] = noise + 0.6 * market.wildness * wild + 0.25 * np.minimum(size, 6.0)
    log_price = prices[BURN_IN:].T
    return Paths(log_price - log_price[:, :1], volumes[BURN_IN:].T)


def _ar(state: Array, memory: Array, shock: Array) -> Array:
    """One step of an AR(1) with unit variance."""
    result: Array = memory * state + np.sqrt(1 - memory**2) * shock
    return result


def sample_rows() -> list[tuple[str, str, str, str]]:
    """(symbol, date, close, volume in quote currency) of every coin and day of the sample."""
    rng = np.random.default_rng(SAMPLE_SEED)
    paths = simulate(rng, sample_market(), SAMPLE_DAYS)
    start = SAMPLE_END - timedelta(days=SAMPLE_DAYS - 1)
    rows = []
    for coin, prices, volumes in zip(COINS, paths.log_price, paths.log_volume, strict=True):
        for index, (price, volume) in enumerate(zip(prices, volumes, strict=True)):
            day = start + timedelta(days=index)
            weekend = -0.2 if day.weekday() >= 5 else 0.0
            traded = 2e5 * coin.price**0.5 * 1e3 * np.exp(volume + weekend)
            rows.append(
                (coin.symbol, day.isoformat(), f"{coin.price * np.exp(price):.6g}", f"{traded:.4g}")
            )
    return rows


def write_sample(path: Path) -> None:
    """The sample as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("symbol", "time", "close", "volume"))
        writer.writerows(sample_rows())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=PRICES)
    write_sample(parser.parse_args().out)


if __name__ == "__main__":
    main()
