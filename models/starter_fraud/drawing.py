"""Drawing rows: an ordinary world, causes planted into some of its rows, noise and gaps.

Place in the path: training and evaluation only. A world says what is ordinary and what each cause
changes; this module mixes them. It knows no kind of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.fraud_features import FEATURES, Kind

Columns = dict[str, Any]
"""Feature name to an array of values, one a row."""
Generator = np.random.Generator
ORDINARY = "ordinary"
SHOWN = (0.35, 1.0)
"""Range of the share of its signs that a fraud shows: few are by the book, some are careful."""
GAPPY_ROWS = 0.25
MOST_GAPS = 0.7


@dataclass(frozen=True, slots=True)
class Cause:
    """A way to cheat.

    Args:
        plant: (generator, ordinary columns of the rows to change) to the columns it changes.
        signs: the features that give it away: a good first reason is one of them.
    """

    plant: Callable[[Generator, Columns], Columns]
    signs: frozenset[str]


@dataclass(frozen=True, slots=True)
class World:
    """One kind of rows.

    Args:
        share: of rows that are fraud.
        causes: those that training sees.
        unseen: those that it never sees; novelty alone can find them.
        rising: features that can only raise the score as they rise, and falling ones.
    """

    kind: Kind
    share: float
    ordinary: Callable[[Generator, int], Columns]
    causes: Mapping[str, Cause]
    unseen: Mapping[str, Cause]
    rising: frozenset[str]
    falling: frozenset[str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows (float32, columns in the order of `FEATURES`, NaN unknown) and why each is fraud."""

    rows: Any
    causes: Any

    @property
    def labels(self) -> Any:
        """1 where a row is fraud."""
        return (self.causes != ORDINARY).astype(np.int8)


def draw(world: World, seed: int, count: int, *, share: float | None = None) -> Drawn:
    """`count` rows of `world`, fraud with its known causes; the same for the same seed."""
    rng = np.random.default_rng(seed)
    columns = world.ordinary(rng, count)
    causes = np.full(count, ORDINARY, dtype="U24")
    chosen = rng.random(count) < (world.share if share is None else share)
    picked = rng.integers(0, len(world.causes), count)
    for number, (name, cause) in enumerate(world.causes.items()):
        rows = np.flatnonzero(chosen & (picked == number))
        causes[rows] = name
        _plant(rng, cause, columns, rows)
    return Drawn(_matrix(world.kind, columns), causes)


def draw_unseen(world: World, name: str, seed: int, count: int) -> Drawn:
    """`count` rows of a cause that training never sees."""
    rng = np.random.default_rng(seed)
    columns = world.ordinary(rng, count)
    _plant(rng, world.unseen[name], columns, np.arange(count))
    return Drawn(_matrix(world.kind, columns), np.full(count, name, dtype="U24"))


def with_gaps(world: World, rows: Any, seed: int, *, affected: float = GAPPY_ROWS) -> Any:
    """A copy in which some rows lack some of what is not required."""
    rng = np.random.default_rng(seed)
    gappy = rng.random(len(rows)) < affected
    chance = np.where(gappy, rng.uniform(0, MOST_GAPS, len(rows)), 0.0)
    lost = rng.random(rows.shape) < chance[:, None]
    lost[:, [feature.required for feature in FEATURES[world.kind]]] = False
    return np.where(lost, np.float32("nan"), rows)


def pick(rng: Generator, count: int, choices: tuple[str, ...], shares: Mapping[str, float]) -> Any:
    """Codes of choices, drawn by their shares."""
    weights = np.array([shares.get(choice, 0.0) for choice in choices])
    return rng.choice(len(choices), count, p=weights / weights.sum()).astype(float)


def some(rng: Generator, base: Any, share: float, other: Any) -> Any:
    """`base` with a share of its values replaced by `other`'s."""
    return np.where(rng.random(len(base)) < share, other, base)


def _plant(rng: Generator, cause: Cause, columns: Columns, rows: Any) -> None:
    before = {name: values[rows] for name, values in columns.items()}
    shown = rng.uniform(*SHOWN, len(rows))
    for name, values in cause.plant(rng, before).items():
        columns[name][rows] = np.where(rng.random(len(rows)) < shown, values, before[name])


def _matrix(kind: Kind, columns: Columns) -> Any:
    """Values as a measurement would give them: bounded, and three digits after the point."""
    bounded = [
        np.round(np.clip(columns[feature.name], feature.low, feature.high), 3)
        for feature in FEATURES[kind]
    ]
    return np.stack(bounded, axis=1).astype(np.float32)
