"""Windows: the last days of a series as what the networks read, and their answer as prices.

Place in the path: shared by training, back-test and the deployment, so that all three see the
same numbers. Everything is relative to the window's own volatility: a forecast does not depend on
the unit of the price. It does not know the networks.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

WINDOW = 96
"""Returns that a network reads; shorter series are padded in front."""
FEATURES = 5
HORIZONS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 75, 90)
"""Days ahead that a network answers for; days between are interpolated."""
QUANTILES = (0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.995)
MEDIAN = QUANTILES.index(0.5)
LEAST_SCALE = 1e-6
"""Volatility of a series that does not move: its interval is then a hair's breadth."""
LARGEST_RETURN = 8.0
"""Returns are cut here, in units of the window's volatility, before a network sees them."""


@dataclass(frozen=True)
class Windows:
    """Network input for a batch.

    Args:
        features: (batch, WINDOW, FEATURES): return, level, volume, volume known, day present.
        scale: (batch,): root mean square of the window's log returns.
    """

    features: Tensor
    scale: Tensor


def windows(log_price: Tensor, log_volume: Tensor, length: Tensor) -> Windows:
    """The last `length` returns of each series.

    Args:
        log_price: (batch, WINDOW + 1), newest last; padding in front is finite.
        log_volume: the same shape; NaN where it is not known.
        length: (batch,) how many returns are real, at most WINDOW.
    """
    days = torch.arange(WINDOW, device=log_price.device)
    present = (days >= WINDOW - length[:, None]).to(log_price.dtype)
    returns = log_price.diff(dim=1) * present
    scale = (returns.square().sum(1) / length).sqrt().clamp_min(LEAST_SCALE)
    level = (log_price[:, 1:] - log_price[:, -1:]) * present / (scale * math.sqrt(WINDOW))[:, None]
    volume, known = _standardised(log_volume[:, 1:], present)
    features = torch.stack(
        [
            (returns / scale[:, None]).clamp(-LARGEST_RETURN, LARGEST_RETURN),
            level,
            volume,
            known,
            present,
        ],
        dim=2,
    )
    return Windows(features.float(), scale.float())


def _standardised(log_volume: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(volume with mean 0 and deviation 1 over the window, 1 where it is known)."""
    known = present * log_volume.isfinite()
    volume = torch.where(known > 0, log_volume, torch.zeros_like(log_volume))
    count = known.sum(1, keepdim=True).clamp_min(1.0)
    centred = (volume - volume.sum(1, keepdim=True) / count) * known
    spread = (centred.square().sum(1, keepdim=True) / count).sqrt().clamp_min(LEAST_SCALE)
    return (centred / spread).clamp(-LARGEST_RETURN, LARGEST_RETURN), known


def targets(future: Tensor, scale: Tensor) -> Tensor:
    """Log returns from now to each of HORIZONS, in units of scale x sqrt(days).

    Args:
        future: (batch, longest horizon) log price minus today's, tomorrow first.

    Returns:
        (batch, len(HORIZONS))
    """
    days = torch.tensor(HORIZONS, device=future.device)
    return future[:, days - 1].float() / (scale[:, None] * days.sqrt())


def pinball(predicted: Tensor, actual: Tensor) -> Tensor:
    """Mean quantile loss (Koenker and Bassett, 1978) of (batch, horizons, quantiles)."""
    levels = torch.tensor(QUANTILES, device=predicted.device)
    error = actual[:, :, None] - predicted
    return torch.maximum(levels * error, (levels - 1) * error).mean()


def log_returns_at(quantiles: Tensor, scale: float, days: int, levels: tuple[float, ...]) -> Tensor:
    """Log returns from now to each day up to `days` at quantile `levels`.

    Quantiles are interpolated along the normal distribution's, horizons along the logarithm.

    Args:
        quantiles: (horizons, quantiles) of one series, in units of scale x sqrt(days).

    Returns:
        (days, levels), in double precision
    """
    ordered = quantiles.double().sort(dim=1).values
    known_z = [NormalDist().inv_cdf(level) for level in QUANTILES]
    across = _interpolation([NormalDist().inv_cdf(level) for level in levels], known_z)
    ahead = [float(day) for day in range(1, days + 1)]
    along = _interpolation([math.log(d) for d in ahead], [math.log(h) for h in HORIZONS])
    spread = scale * torch.tensor(ahead, dtype=torch.float64).sqrt()
    result: Tensor = (along @ ordered @ across.T) * spread[:, None]
    return result


def _interpolation(wanted: list[float], known: list[float]) -> Tensor:
    """(wanted, known) weights of linear interpolation; outside, the nearest known value."""
    weights = torch.zeros(len(wanted), len(known), dtype=torch.float64)
    for row, value in enumerate(wanted):
        right = next((i for i, k in enumerate(known) if k >= value - 1e-9), len(known) - 1)
        left = max(right - 1, 0)
        gap = known[right] - known[left]
        share = min(max((value - known[left]) / gap, 0.0), 1.0) if gap else 1.0
        weights[row, left] += 1 - share
        weights[row, right] += share
    return weights
