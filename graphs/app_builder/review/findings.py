"""Findings: what a review says, of which file and line, and how bad it is.

Place in the path: inside the app builder; made by the rules of each language.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad, the worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


ORDER = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at. Lines and columns count from one; line 0 is the file as a whole."""

    rule: str
    severity: Severity
    path: str
    line: int
    column: int
    message: str

    @property
    def rank(self) -> tuple[int, str, int, int]:
        """Its place in a review: the worst first, then by file and line."""
        return ORDER.index(self.severity), self.path, self.line, self.column
