"""How many tokens a span of text has, for the model that embeds it.

Place in the path: under the cutting of passages. Text is tokenized once; every count after that is
a look into a sorted list. It embeds nothing.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import SettingsError

Starts = Callable[[str], Iterable[int]]
"""Where each token of a text begins, in characters, ascending."""

ROUGHLY = re.compile(r"[A-Za-z0-9_]{1,4}|[^\sA-Za-z0-9_]")
"""Tokens of a model whose tokenizer is not at hand: rather too many than too few."""


class TokenCounter:
    """Counts by a model's own tokenizer.

    Args:
        directory: where the model's `tokenizer.json` is; None counts roughly.
    """

    def __init__(self, directory: str | None) -> None:
        self._starts = roughly if directory is None else _exactly(Path(directory))

    def of(self, text: str, pieces: Sequence[tuple[int, int]]) -> "TokenCounts":
        """Counts for spans of `text`; tokens do not reach over the borders of `pieces`."""
        starts = array("I")
        for start, end in pieces:
            starts.extend(start + offset for offset in self._starts(text[start:end]))
        return TokenCounts(starts)

    def count(self, text: str) -> int:
        """Tokens of a whole text, without special ones."""
        return sum(1 for _ in self._starts(text))


class TokenCounts:
    """Where the tokens of one text begin."""

    def __init__(self, starts: Sequence[int]) -> None:
        self._starts = starts

    def between(self, start: int, end: int) -> int:
        """Tokens that begin in `[start, end)`."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def nth_from(self, start: int, count: int) -> int | None:
        """Where the token begins that is `count` after the first at `start` or later."""
        index = bisect_left(self._starts, start) + count
        return self._starts[index] if index < len(self._starts) else None


def roughly(text: str) -> Iterator[int]:
    """Beginnings of what may be tokens: four letters, or one character of anything else."""
    return (match.start() for match in ROUGHLY.finditer(text))


def _exactly(directory: Path) -> Starts:
    from tokenizers import Tokenizer  # noqa: PLC0415  # the gateway reads this package's SPEC

    file = directory / "tokenizer.json"
    if not file.is_file():
        raise SettingsError(f"no tokenizer.json in {directory}", "tokenizer")
    tokenizer: Any = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def starts(text: str) -> list[int]:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        return [start for start, _ in encoding.offsets]

    return starts
