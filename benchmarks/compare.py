"""Rows: what is measured, against what, and whether it is enough.

Ours and the peer take turns on the same machine, the order swapped each time; the ratio is the
median of the turns' ratios, so that whatever slows the machine for a while slows both sides.
"""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

DIGITS = 4


class Rule(StrEnum):
    """What a target is a bound of."""

    RATIO_AT_LEAST = "ratio at least"
    RATIO_AT_MOST = "ratio at most"
    DIFFERENCE_AT_MOST = "difference at most"
    VALUE_AT_MOST = "value at most"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a row must keep."""

    rule: Rule
    bound: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One side's figure in one turn, and the CPU time that its servers spent for each request."""

    value: float
    cpu_ms: float | None = None


Turns = list[tuple[Measured, Measured]]
"""Ours and the peer's figures, turn by turn."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Figures are medians over turns; `met` is None without a target."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    difference: float | None = None
    target: float | None = None
    rule: str | None = None
    met: bool | None = None
    peer_name: str | None = None
    note: str = ""
    ours_cpu_ms: float | None = None
    peer_cpu_ms: float | None = None
    turns: list[tuple[float, float | None]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The row for JSON, figures rounded to what was measured."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def take_turns(
    repeats: int,
    ours: Callable[[], Measured],
    peer: Callable[[], Measured],
    *,
    thrown_away: int = 0,
) -> Turns:
    """Measure both, `repeats` times, the first one alternating.

    Args:
        thrown_away: turns before those that count, to warm both sides up.
    """
    turns: Turns = []
    for turn in range(thrown_away + repeats):
        if turn % 2:
            theirs = peer()
            turns.append((ours(), theirs))
        else:
            mine = ours()
            turns.append((mine, peer()))
    return turns[thrown_away:]


def compared(
    name: str,
    unit: str,
    turns: Turns,
    target: Target | None = None,
    *,
    peer_name: str,
    note: str = "",
) -> Row:
    """The row of something that has a peer."""
    ratio = statistics.median(ours.value / peer.value for ours, peer in turns)
    difference = statistics.median(ours.value - peer.value for ours, peer in turns)
    bounded = {
        Rule.RATIO_AT_LEAST: ratio,
        Rule.RATIO_AT_MOST: ratio,
        Rule.DIFFERENCE_AT_MOST: difference,
    }
    met = None if target is None else _keeps(target, bounded[target.rule])
    return Row(
        name=name,
        unit=unit,
        ours=statistics.median(ours.value for ours, _ in turns),
        peer=statistics.median(peer.value for _, peer in turns),
        ratio=ratio,
        difference=difference,
        target=target.bound if target else None,
        rule=target.rule.value if target else None,
        met=met,
        peer_name=peer_name,
        note=note,
        ours_cpu_ms=_median(ours.cpu_ms for ours, _ in turns),
        peer_cpu_ms=_median(peer.cpu_ms for _, peer in turns),
        turns=[(ours.value, peer.value) for ours, peer in turns],
    )


def alone(
    name: str,
    unit: str,
    figures: list[Measured],
    target: Target | None = None,
    *,
    note: str = "",
) -> Row:
    """The row of something that has no peer."""
    value = statistics.median(figure.value for figure in figures)
    return Row(
        name=name,
        unit=unit,
        ours=value,
        target=target.bound if target else None,
        rule=target.rule.value if target else None,
        met=None if target is None else _keeps(target, value),
        note=note,
        ours_cpu_ms=_median(figure.cpu_ms for figure in figures),
        turns=[(figure.value, None) for figure in figures],
    )


def _keeps(target: Target, value: float) -> bool:
    return value >= target.bound if target.rule is Rule.RATIO_AT_LEAST else value <= target.bound


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
