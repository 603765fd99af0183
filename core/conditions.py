"""Conditions: whether a step of a workflow runs at all.

Place in the path: read when a workflow is posted, asked when the step's turn comes. The grammar is
small on purpose; there are no functions, no arithmetic and no names but references:

    condition  = both ("or" both)*
    both       = negation ("and" negation)*
    negation   = "not" negation | comparison
    comparison = value (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in") value)?
    value      = "${…}" | number | "text" | 'text' | true | false | null | "(" condition ")"

Without a comparison a value counts as true unless it is false, null, 0, or empty.
"""

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from core.references import BadReference, Reference, understood

LONGEST = 1_000
DEEPEST = 20
TOKEN = re.compile(
    r"""\s*(?:
        \$\{(?P<reference>[^{}]*)\}
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)(?![\w.])
      | "(?P<double>[^"]*)" | '(?P<single>[^']*)'
      | (?P<operator>==|!=|<=|>=|<|>|\(|\))
      | (?P<word>[a-z]+)
    )""",
    re.VERBOSE,
)
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda one, other: one in other,
}
CONSTANTS = {"true": True, "false": False, "null": None}
WORDS = ("and", "or", "not", "in")

Lookup = Callable[[Reference], Any]
Test = Callable[[Lookup], Any]


class BadCondition(ValueError):
    """A text that is no condition; says why."""


class Incomparable(TypeError):
    """Values that a condition compares and that have no order, as a text and a number."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, understood."""

    text: str
    references: tuple[Reference, ...]
    test: Test

    def holds(self, lookup: Lookup) -> bool:
        """Whether it is true. Raises Incomparable, and what `lookup` raises."""
        return bool(self.test(lookup))


def condition_of(text: str) -> Condition:
    """A condition as it was written. Raises BadCondition, BadReference."""
    if len(text) > LONGEST:
        raise BadCondition(f"a condition has at most {LONGEST} characters")
    reading = _Reading(list(_tokens(text)))
    test = reading.either(0)
    reading.require_end()
    return Condition(text, tuple(reading.references), test)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text.rstrip())
    while position < end:
        found = TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise BadCondition(f"cannot be read at '{text[position:].strip()[:20]}'")
        yield found.lastgroup, found.group(found.lastgroup)
        position = found.end()


class _Reading:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self.references: list[Reference] = []

    def either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._takes("or"):
            tests.append(self._both(depth))
        if len(tests) == 1:
            return tests[0]
        return lambda lookup: any(test(lookup) for test in tests)

    def require_end(self) -> None:
        if self._at < len(self._tokens):
            raise BadCondition(f"'{self._tokens[self._at][1]}' is one too many")

    def _both(self, depth: int) -> Test:
        tests = [self._negation(depth)]
        while self._takes("and"):
            tests.append(self._negation(depth))
        if len(tests) == 1:
            return tests[0]
        return lambda lookup: all(test(lookup) for test in tests)

    def _negation(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise BadCondition(f"more than {DEEPEST} levels deep")
        if self._takes("not"):
            inner = self._negation(depth + 1)
            return lambda lookup: not inner(lookup)
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Test:
        left = self._value(depth)
        kind, sign = self._next()
        if kind not in ("operator", "word") or sign not in COMPARISONS:
            return left
        self._at += 1
        right = self._value(depth)
        return lambda lookup: _compared(sign, left(lookup), right(lookup))

    def _value(self, depth: int) -> Test:
        kind, text = self._next()
        self._at += 1
        if kind == "reference":
            reference = understood(text)
            self.references.append(reference)
            return lambda lookup: lookup(reference)
        if (kind, text) == ("operator", "("):
            inner = self.either(depth + 1)
            if not self._takes(")"):
                raise BadCondition("a ')' is missing")
            return inner
        constant = _constant(kind, text)
        return lambda _: constant

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _takes(self, word: str) -> bool:
        kind, text = self._next()
        taken = kind in ("word", "operator") and text == word
        self._at += taken
        return taken


def _constant(kind: str, text: str) -> Any:
    if kind == "number":
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if kind in ("double", "single"):
        return text
    if kind == "word" and text in CONSTANTS:
        return CONSTANTS[text]
    if kind == "end":
        raise BadCondition("it ends where a value should be")
    raise BadCondition(f"'{text[:20]}' is no value")


def _compared(sign: str, left: Any, right: Any) -> bool:
    try:
        return COMPARISONS[sign](left, right)
    except TypeError:
        kinds = f"{type(left).__name__} {sign} {type(right).__name__}"
        raise Incomparable(f"these cannot be compared: {kinds}") from None


__all__ = ["BadCondition", "BadReference", "Condition", "Incomparable", "condition_of"]
