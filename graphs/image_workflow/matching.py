"""Matching: how far the words about a picture say what its prompt asked for.

Place in the path: between the stages `describe` and `refine`. It compares words, not pictures:
colours with the things that have them ("red circle"), and shapes. A prompt that names neither is
compared by its words. English; it is as right as the words of the vision model are.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


COLOURS = _set(
    "red green blue yellow orange purple violet pink brown black white gray cyan magenta turquoise"
    " gold silver beige"
)
SHAPES = _set(
    "circle square triangle star rectangle oval ellipse diamond hexagon pentagon octagon heart"
    " cross ring cube sphere cone cylinder pyramid line arrow crescent"
)
SAME = {"grey": "gray", "colour": "color", "disc": "circle", "disk": "circle", "ball": "sphere"}
SKIPPED = _set("small large big little tiny huge bright dark light deep pale plain solid")
"""Words between a colour and its thing, of which vision seldom speaks."""
BREAKS = _set("on in with at over under above below behind before near beside of")
"""After these, a colour belongs to what follows."""
FILLERS = _set(
    "a an the and or is are it its this that there to for by from as shows showing shown picture"
    " image photo photograph drawing painting draw one some very color"
)
EMPTY = BREAKS | SKIPPED | FILLERS
WORD = re.compile(r"[a-z]+")
HALF = 0.5


class Fact(NamedTuple):
    """What a text says of a thing. Either part may be missing."""

    colour: str
    thing: str

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


class Match(NamedTuple):
    """How well words fit: 0 for nothing that was expected, 1 for all of it."""

    score: float
    expected: tuple[str, ...]
    missing: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {
            "score": self.score,
            "expected": list(self.expected),
            "missing": list(self.missing),
        }


def match(expected: Sequence[str], said: str) -> Match | None:
    """How far `said` holds what the texts of `expected` say; None when those say nothing."""
    wanted = list(dict.fromkeys(fact for text in expected for fact in facts(text)))
    if not wanted:
        return None
    seen = facts(said)
    words = set(_words(said))
    scores = [_found(fact, seen, words) for fact in wanted]
    missing = [str(fact) for fact, score in zip(wanted, scores, strict=True) if score < 1]
    return Match(
        round(sum(scores) / len(scores), 4), tuple(str(fact) for fact in wanted), tuple(missing)
    )


def facts(text: str) -> list[Fact]:
    """Colours with their things, and shapes; of a text that names neither, its words."""
    words = _words(text)
    found = list(_coloured(words))
    named = [fact for fact in found if fact.colour or fact.thing in SHAPES]
    if named:
        return named
    return [Fact("", word) for word in dict.fromkeys(words) if word not in EMPTY]


def _coloured(words: Iterable[str]) -> Iterable[Fact]:
    """Things, each with the colours that stand before it; colours that stand alone."""
    waiting: list[str] = []
    for word in words:
        if word in COLOURS:
            waiting.append(word)
        elif word in BREAKS:
            yield from (Fact(colour, "") for colour in waiting)
            waiting = []
        elif word not in EMPTY:
            yield from (Fact(colour, word) for colour in waiting or [""])
            waiting = []
    yield from (Fact(colour, "") for colour in waiting)


def _found(fact: Fact, seen: Sequence[Fact], words: set[str]) -> float:
    """1 when it was said; half of it when only the thing was, or only the colour."""
    if fact in seen or not (fact.colour and fact.thing):
        return float(fact in seen or str(fact) in words)
    apart = {Fact(fact.colour, ""), Fact("", fact.thing)}
    if apart <= set(seen):
        return 1.0  # "a circle in red"
    return HALF * bool(words & set(fact))


def _words(text: str) -> list[str]:
    """Lower case, one spelling, singular: "Two grey circles" is "two gray circle"."""
    return [_plain(word) for word in WORD.findall(text.lower())]


def _plain(word: str) -> str:
    word = SAME.get(word, word)
    single = word.removesuffix("s")
    return single if single in SHAPES else word
