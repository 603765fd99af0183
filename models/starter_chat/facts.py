"""What starter-chat knows about Carillon, read from ``facts.yaml``.

One answer per fact, several wordings per question. It states nothing itself: edit the table and
train again.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from models.starter_chat import HERE


@dataclass(frozen=True)
class Fact:
    """One answer and the questions that ask for it (lower case, no final punctuation)."""

    key: str
    answer: str
    questions: tuple[str, ...]
    held_out: str


def _facts() -> tuple[Fact, ...]:
    table: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "facts.yaml").read_text())
    return tuple(
        Fact(key, row["answer"], tuple(row["questions"]), row["held_out"])
        for key, row in table.items()
    )


FACTS = _facts()
