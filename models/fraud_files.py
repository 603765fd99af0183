"""The files of a fraud detector: what training writes and a deployment reads.

Place in the path: start-up only. For each kind a directory has `<kind>.ubj`, an xgboost model of
the log-odds that a row is fraud, and `<kind>.json`, which is `DetectorFile`. Neither can run code
when it is read. A directory need not have every kind.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from core.errors import SettingsError
from core.fraud_features import FEATURES, KINDS, Kind, names
from core.model import Frozen


class Thresholds(Frozen):
    """Scores from which a row is looked at, and from which it is stopped."""

    review: float = Field(ge=0, le=1)
    decline: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.review > self.decline:
            raise ValueError("'review' must not be above 'decline'")
        return self


class Histogram(Frozen):
    """What training saw of one column: shares of the bins between `edges`, the last of unknowns."""

    edges: tuple[float, ...]
    """Ascending. A value equal to an edge belongs to the bin below it."""
    shares: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.shares) != len(self.edges) + 2 or list(self.edges) != sorted(set(self.edges)):
            raise ValueError("needs ascending edges, and two more shares than edges")
        return self


class NoveltyFile(Frozen):
    """A Gaussian mixture of ordinary rows; see `models.fraud_novelty`. K components, D columns."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    log_weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    """(K, D)"""
    precisions: tuple[tuple[tuple[float, ...], ...], ...]
    """(K, D, D): Cholesky factors of the inverse covariances."""
    limit: float
    """Surprise, in nats, above which a row is novel."""


class DetectorFile(Frozen):
    """Everything about one kind's model but its trees."""

    kind: Kind
    features: tuple[str, ...]
    """Columns of the trees, in order."""
    choices: dict[str, tuple[str, ...]]
    thresholds: Thresholds
    histograms: dict[str, Histogram]
    scores: Histogram
    novelty: NoveltyFile | None = None

    @model_validator(mode="after")
    def _speaks_of_our_features(self) -> Self:
        if self.features != names(self.kind):
            raise ValueError(f"'features' must be {', '.join(names(self.kind))}")
        ours = {f.name: f.choices for f in FEATURES[self.kind] if f.choices}
        if self.choices != ours:
            raise ValueError(f"'choices' must be {ours}")
        if set(self.histograms) != set(self.features):
            raise ValueError("'histograms' must have one of every feature")
        return self


def trees_path(directory: Path, kind: Kind) -> Path:
    """Where the xgboost model of `kind` is."""
    return directory / f"{kind}.ubj"


def facts_path(directory: Path, kind: Kind) -> Path:
    """Where the `DetectorFile` of `kind` is."""
    return directory / f"{kind}.json"


def read(directory: Path) -> dict[Kind, DetectorFile]:
    """Every kind in `directory`. Raises SettingsError when there is none or one is wrong."""
    found: dict[Kind, DetectorFile] = {}
    for kind in KINDS:
        path = facts_path(directory, kind)
        if not path.is_file():
            continue
        try:
            found[kind] = DetectorFile.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise SettingsError(f"{path}: {error}", "source") from error
        if found[kind].kind != kind or not trees_path(directory, kind).is_file():
            raise SettingsError(f"{path}: not of kind {kind!r}, or without its trees", "source")
    if not found:
        raise SettingsError(f"no fraud model in {directory}", "source")
    return found
