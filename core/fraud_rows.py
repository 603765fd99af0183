"""Rows of features, checked and packed: what travels to a fraud detector instead of objects.

Place in the path: step 1, inside the request's validation. A hundred thousand rows as objects are
many small things to check, hash and pickle one by one; packed they are one piece of bytes. Checks
work on whole columns; only a column with a fault is searched for its place.
"""

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

from core.faults import refuse_at
from core.fraud_features import FEATURES, Feature, Kind, names

MAX_ROWS = 100_000
UNKNOWN = math.nan
FLAGS = {0.0, 1.0}


class Rows(NamedTuple):
    """Rows of one kind.

    Args:
        size: how many rows.
        values: float32 in the machine's byte order, column after column in the order of
            `FEATURES`; NaN is unknown.
    """

    size: int
    values: bytes

    def digest(self) -> str:
        """Hex SHA-256 of everything in it: stands for the rows in cache keys."""
        return hashlib.sha256(b"%d:" % self.size + self.values).hexdigest()


def from_object(kind: Kind, row: Any) -> Rows:
    """One row from an object. Raises ValidationError that names the feature."""
    if not isinstance(row, dict):
        refuse_at((), "must be an object of features")
    try:
        return _pack(kind, 1, {name: (value,) for name, value in row.items()})
    except _Fault as fault:
        fault.refuse(fault.name)


def from_objects(kind: Kind, rows: Any) -> Rows:
    """Rows from a list of objects. Raises ValidationError that names row and feature."""
    if not isinstance(rows, list):
        refuse_at((), "must be a list of objects")
    _check_count(len(rows))
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            refuse_at((index,), "must be an object of features")
    try:
        return _pack(kind, len(rows), _same_shape(rows) or _any_shape(rows))
    except _Fault as fault:
        fault.refuse(_row_of(fault, rows), fault.name)


def from_columns(kind: Kind, columns: Any) -> Rows:
    """Rows from an object of lists, one a feature. Raises ValidationError naming the feature."""
    if not isinstance(columns, dict) or not columns:
        refuse_at((), "must be an object with a list for each feature")
    for name, values in columns.items():
        if not isinstance(values, list):
            refuse_at((str(name),), "must be a list of values")
    count = len(next(iter(columns.values())))
    for name, values in columns.items():
        if len(values) != count:
            refuse_at((str(name),), f"has {len(values)} values, the first list has {count}")
    _check_count(count)
    try:
        return _pack(kind, count, columns)
    except _Fault as fault:
        place = () if fault.index is None else (fault.index,)
        fault.refuse(fault.name, *place)


class _Fault(Exception):
    """A wrong value, or (without an index) a feature that does not exist."""

    def __init__(self, name: str, index: int | None, message: str, kind: str) -> None:
        super().__init__(name, index, message, kind)
        self.name = name
        self.index = index
        self.message = message
        self.kind = kind

    def refuse(self, *place: int | str) -> NoReturn:
        refuse_at(place, self.message, self.kind)


def _row_of(fault: _Fault, rows: list[dict[str, Any]]) -> int:
    """Of a feature that does not exist: the first row that has it."""
    if fault.index is not None:
        return fault.index
    return next(index for index, row in enumerate(rows) if fault.name in row)


def _check_count(count: int) -> None:
    if count == 0:
        refuse_at((), "must not be empty")
    if count > MAX_ROWS:
        refuse_at((), f"at most {MAX_ROWS:,} rows in one request, got {count:,}")


def _same_shape(rows: list[dict[str, Any]]) -> dict[str, Sequence[Any]] | None:
    """Columns of rows that all have the keys of the first; None when they do not."""
    keys = list(rows[0])
    if not keys or set(map(len, rows)) != {len(keys)}:
        return None
    # The first key twice: `itemgetter` of one key gives a bare value.
    take = itemgetter(*keys, keys[0])
    try:
        return dict(zip(keys, zip(*map(take, rows), strict=True), strict=False))
    except KeyError:
        return None


def _any_shape(rows: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    keys: set[str] = set().union(*rows)
    return {key: [row.get(key) for row in rows] for key in sorted(keys)}


def _pack(kind: Kind, count: int, columns: Mapping[str, Sequence[Any]]) -> Rows:
    """Raises _Fault."""
    known = names(kind)
    for name in columns:
        if name not in known:
            text = f"is not a feature of a {kind}; these are: {', '.join(known)}"
            raise _Fault(str(name), None, text, "extra_forbidden")
    unknown = (None,) * count
    packed = [_column(feature, columns.get(feature.name, unknown)) for feature in FEATURES[kind]]
    return Rows(count, b"".join(packed))


def _column(feature: Feature, values: Sequence[Any]) -> bytes:
    """The values as float32. Raises _Fault."""
    numbers = _numbers(feature, values)
    if numbers is None and not feature.required:
        numbers = _partly_unknown(feature, values)
    if numbers is None:
        raise _fault(feature, values)
    return numbers.tobytes()


def _partly_unknown(feature: Feature, values: Sequence[Any]) -> "array[float] | None":
    given = [value for value in values if value is not None]
    if not given:
        return array("f", (UNKNOWN,)) * len(values)
    numbers = _numbers(feature, given)
    if numbers is None:
        return None
    rest = iter(numbers)
    return array("f", [UNKNOWN if value is None else next(rest) for value in values])


def _numbers(feature: Feature, values: Sequence[Any]) -> "array[float] | None":
    """None when any value is wrong, or is None."""
    try:
        coded = _coded(feature, values)
        return array("f", coded) if _all_within(feature, coded) else None
    except (TypeError, KeyError, OverflowError):
        return None


def _all_within(feature: Feature, numbers: Sequence[float]) -> bool:
    if feature.unit == "flag":
        return FLAGS.issuperset(numbers)
    # A sum is finite only if everything in it is: no bound is anywhere near an overflow.
    return (
        math.isfinite(sum(numbers)) and feature.low <= min(numbers) and max(numbers) <= feature.high
    )


def _coded(feature: Feature, values: Sequence[Any]) -> Sequence[float]:
    if not feature.choices:
        return values
    codes = {choice: float(code) for code, choice in enumerate(feature.choices)}
    return [codes[value] for value in values]


def _fault(feature: Feature, values: Sequence[Any]) -> _Fault:
    """The first value that is wrong."""
    for index, value in enumerate(values):
        if value is None and feature.required:
            text = f"is required: {feature.accepts}"
            return _Fault(feature.name, index, text, "missing_value")
        if value is not None and _numbers(feature, (value,)) is None:
            break
    return _Fault(feature.name, index, f"must be {feature.accepts}", "bad_value")
