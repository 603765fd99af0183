"""Novelty: how unlike anything ordinary a row is, for cheating that no label names yet.

Place in the path: training fits it with scikit-learn, a detector evaluates it with numpy alone (one
row takes tens of microseconds where scikit-learn's own call takes a millisecond). It does not say
that a row is fraud; it says that trees have no experience with it.

The measure is the negative log-likelihood under a Gaussian mixture of ordinary rows, each column
on a signed logarithmic scale and standardised. Unknown values count as average.
"""

import math
from typing import Any

import numpy as np

from models.fraud_files import NoveltyFile


class Novelty:
    """A fitted mixture, ready for rows."""

    def __init__(self, file: NoveltyFile) -> None:
        factors = np.array(file.precisions, dtype=np.float32)
        means = np.array(file.means, dtype=np.float32)
        self._components, self._columns = len(factors), factors.shape[1]
        self._centre = np.array(file.centre, dtype=np.float32)
        self._scale = np.array(file.scale, dtype=np.float32)
        # All components below each other, so that all are one matrix product.
        self._factors = np.concatenate([factor.T for factor in factors])
        offsets = [mean @ factor for mean, factor in zip(means, factors, strict=True)]
        self._offsets = np.concatenate(offsets)[:, None]
        log_determinants = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
        log_weights = np.array(file.log_weights, dtype=np.float32)
        normal = 0.5 * self._columns * math.log(2 * math.pi)
        self._constants = (log_weights + log_determinants - normal).astype(np.float32)[:, None]
        self.limit = file.limit

    def surprise(self, rows: Any) -> Any:
        """Nats for each of `rows` (n, columns), NaN unknown."""
        # Rows last from here on: numpy is several times quicker along a long last axis.
        distances = self._factors @ standardised(rows, self._centre, self._scale).T
        distances -= self._offsets
        distances = distances.reshape(self._components, self._columns, len(rows))
        squared = np.einsum("kdr,kdr->kr", distances, distances)
        likelihoods = self._constants - 0.5 * squared
        best = likelihoods.max(axis=0)
        return -best - np.log(np.exp(likelihoods - best).sum(axis=0))


def standardised(rows: Any, centre: Any, scale: Any) -> Any:
    """Rows on the scale that the mixture knows; an unknown value becomes the average, 0."""
    scaled = (signed_log(rows) - centre) / scale
    return np.where(np.isnan(scaled), np.float32(0), scaled)


def signed_log(rows: Any) -> Any:
    """Sign and log(1 + magnitude): amounts from cents to billions become comparable."""
    return np.copysign(np.log1p(np.abs(rows)), rows)


def fit(rows: Any, held_out: Any, *, components: int, quantile: float, seed: int) -> NoveltyFile:
    """A mixture of ordinary `rows`; `quantile` of the ordinary `held_out` rows are not novel."""
    from sklearn.mixture import GaussianMixture  # type: ignore[import-untyped]

    logs = signed_log(rows)
    centre, scale = logs.mean(axis=0), logs.std(axis=0) + 1e-3
    mixture = GaussianMixture(components, random_state=seed, reg_covar=0.02, max_iter=200)
    mixture.fit(standardised(rows, centre, scale))
    file = NoveltyFile(
        centre=_rounded(centre),
        scale=_rounded(scale),
        log_weights=_rounded(np.log(mixture.weights_)),
        means=tuple(map(_rounded, mixture.means_)),
        precisions=tuple(tuple(map(_rounded, f)) for f in mixture.precisions_cholesky_),
        limit=0.0,
    )
    limit = float(np.quantile(Novelty(file).surprise(held_out), quantile))
    return file.model_copy(update={"limit": round(limit, 3)})


def _rounded(values: Any) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
