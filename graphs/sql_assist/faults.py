"""Faults and warnings: what is wrong with a statement, and where.

Place in the path: what every check returns, and part of the answer. A fault makes a statement
invalid; a warning does not.
"""

from dataclasses import asdict, dataclass
from typing import Any

from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Args:
        code: stable name of its kind.
        message: for a person, and for the model that repairs it.
        line: from 1; None where the place is not known.
        column: from 1.
        suggestion: the name that was probably meant.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        place = "" if self.line is None else f" (line {self.line}, column {self.column})"
        return self.message + place


def at_offset(
    code: str, message: str, text: str, offset: int, suggestion: str | None = None
) -> Fault:
    """A fault at a character of `text`."""
    before = text[:offset]
    column = offset - (before.rfind("\n") + 1) + 1
    return Fault(code, message, before.count("\n") + 1, column, suggestion)


def at_node(
    code: str, message: str, text: str, node: exp.Expr, suggestion: str | None = None
) -> Fault:
    """A fault at a name of the statement, if the parser noted where it is."""
    start = node.meta.get("start")
    if start is None:
        return Fault(code, message, suggestion=suggestion)
    return at_offset(code, message, text, start, suggestion)


def offset_of(fault: Fault, text: str) -> int | None:
    """Where in `text` a fault is; None where its place is not known."""
    if fault.line is None or fault.column is None:
        return None
    starts = [0, *(place + 1 for place, each in enumerate(text) if each == "\n")]
    return starts[fault.line - 1] + fault.column - 1 if fault.line <= len(starts) else None
