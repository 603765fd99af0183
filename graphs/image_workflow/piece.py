"""A piece: one picture of a batch, on its way through the stages.

Place in the path: made by the graph for each planned picture; every stage writes down what it did.
It calls no model.
"""

from dataclasses import dataclass, field
from typing import Any

from core.image_workflow import Planned
from graphs.image_workflow.matching import Match


@dataclass(frozen=True, slots=True)
class Made:
    """What one stage did."""

    stage: str
    facts: dict[str, Any]
    picture: bytes | None = None
    """PNG, of stages that make one."""


@dataclass(slots=True)
class Piece:
    """One picture: the best so far, what was said of it, and how it came to be."""

    index: int
    planned: Planned
    seed: int | None
    """Of the picture that is kept; None for one that was not drawn here."""
    picture: bytes = b""
    text: str | None = None
    match: Match | None = None
    made: list[Made] = field(default_factory=list)

    @property
    def score(self) -> float:
        """How well it fits; 1 where nothing can be compared."""
        return 1.0 if self.match is None else self.match.score

    def note(self, stage: str, picture: bytes | None = None, **facts: Any) -> None:
        """Write down what a stage did."""
        self.made.append(Made(stage, facts, picture))
