"""References: `${…}` in a workflow's document, and what stands in their place when it runs.

Place in the path: read when a workflow is posted, and filled in when a step's turn comes. The
grammar is a path and nothing else: there is nothing to evaluate.

    ${inputs.topic}                                  an input of the run
    ${steps.draft.output.choices[0].message.content} part of an earlier step's output
    ${steps.draft.status}                            completed, failed or skipped
    ${item}  ${item.name}  ${index}                  inside a step with `map`
    ${media.<id>}                                    one of the tenant's media, in base64

A text that is one reference becomes the value itself, of whatever type; among other text it
becomes text. `$${` is `${` as it stands.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

ROOTS = ("inputs", "steps", "item", "index", "media")
LONGEST = 500
MOST_PARTS = 24
LARGEST = 28 * 2**20
"""Characters of all values in a document: 20 MiB of a file in base64, and the rest."""
FOUND = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
PART = re.compile(r"\.([A-Za-z_][\w-]*|[0-9a-f]{64})|\[(-?\d{1,6})\]|\[\"([^\"\]]{1,200})\"\]")
ROOT = re.compile(r"[a-z]+")

Path = tuple[str | int, ...]
STEP_FACTS = ("output", "status", "error")
NAMED = {"inputs": 1, "steps": 2, "media": 1}
"""How many parts must follow a root."""


class BadReference(ValueError):
    """A text that is no reference; says why."""

    place: Path = ()
    """Where it stands in the document that it was found in."""


class Missing(LookupError):
    """A good reference to what is not there."""


class TooLarge(ValueError):
    """A document that would not be small any more."""


class Room:
    """What the values of one document may still take: counted before they are read.

    Args:
        most: characters, of all of them.
    """

    def __init__(self, most: int = LARGEST) -> None:
        self._most = self._left = most

    def take(self, size: int) -> None:
        """Take `size` characters of it. Raises TooLarge when there are not so many."""
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"with its values it is over the limit of {self._most} bytes")


Lookup = Callable[["Reference"], Any]
"""The value of a reference."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${…}`, understood."""

    text: str
    """As it was written, without the braces."""
    root: str
    path: Path

    @property
    def step(self) -> str | None:
        """The step that it refers to, if it does."""
        return str(self.path[0]) if self.root == "steps" else None

    @property
    def needs_output(self) -> bool:
        """Whether it is about what a step made, and not only how it ended."""
        return self.root == "steps" and self.path[1] == "output"


def understood(text: str) -> Reference:
    """The reference between braces. Raises BadReference."""
    if len(text) > LONGEST:
        raise BadReference(f"a reference has at most {LONGEST} characters")
    text = text.strip()
    root = ROOT.match(text)
    if root is None or root.group() not in ROOTS:
        known = ", ".join(ROOTS)
        raise BadReference(f"'${{{text[:100]}}}' begins with none of {known}")
    path: list[str | int] = []
    position = root.end()
    while position < len(text):
        part = PART.match(text, position)
        if part is None or len(path) >= MOST_PARTS:
            raise BadReference(f"'${{{text[:100]}}}' is no path, at '{text[position:][:20]}'")
        name, index, quoted = part.groups()
        path.append(int(index) if index is not None else name if name is not None else quoted)
        position = part.end()
    reference = Reference(text, root.group(), tuple(path))
    _check(reference)
    return reference


def _check(reference: Reference) -> None:
    root, path = reference.root, reference.path
    needed = NAMED.get(root, 0)
    if len(path) < needed or any(isinstance(part, int) for part in path[:needed]):
        raise BadReference(f"'${{{reference.text}}}' does not say which of the {root}")
    if root == "steps" and path[1] not in STEP_FACTS:
        known = ", ".join(STEP_FACTS)
        raise BadReference(f"'${{{reference.text}}}': a step has {known}, and no '{path[1]}'")
    if root == "index" and path:
        raise BadReference("'${index}' is a number")


def parts_of(text: str) -> list[str | Reference]:
    """A text as literal pieces and references. Raises BadReference."""
    parts: list[str | Reference] = []
    position = 0
    for found in FOUND.finditer(text):
        literal = text[position : found.start()]
        if literal:
            parts.append(literal)
        if found.group() == "$${":
            parts.append("${")
        elif found.group(1) is None:
            raise BadReference(f"'{text[found.start() :][:40]}' has no end")
        else:
            parts.append(understood(found.group(1)))
        position = found.end()
    if text[position:]:
        parts.append(text[position:])
    return parts


def references_in(value: Any, place: Path = ()) -> Iterator[tuple[Path, Reference]]:
    """Every reference in a document, and where it stands.

    Raises BadReference, whose `place` says where.
    """
    if isinstance(value, str):
        try:
            found = [part for part in parts_of(value) if isinstance(part, Reference)]
        except BadReference as error:
            error.place = place
            raise
        yield from ((place, reference) for reference in found)
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from references_in(child, (*place, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from references_in(child, (*place, index))


def filled(value: Any, lookup: Lookup) -> Any:
    """A document with values for its references. `lookup` raises Missing.

    Raises TooLarge before anything is built: a small document can refer to a large value often.
    """
    if filled_size(value, lookup) > LARGEST:
        raise TooLarge(f"with its values it is over the limit of {LARGEST} bytes")
    return _filled(value, lookup)


def filled_size(value: Any, lookup: Lookup) -> int:
    """About how many characters the values of a document's references have, wherever they stand."""
    sizes: dict[str, int] = {}
    total = 0
    for _, reference in references_in(value):
        if reference.text not in sizes:
            sizes[reference.text] = len(as_text(lookup(reference)))
        total += sizes[reference.text]
    return total


def _filled(value: Any, lookup: Lookup) -> Any:
    if isinstance(value, str):
        return _filled_text(value, lookup)
    if isinstance(value, dict):
        return {name: _filled(child, lookup) for name, child in value.items()}
    if isinstance(value, list):
        return [_filled(child, lookup) for child in value]
    return value


def _filled_text(text: str, lookup: Lookup) -> Any:
    if "${" not in text:
        return text
    parts = parts_of(text)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return lookup(parts[0])
    return "".join(as_text(lookup(part)) if isinstance(part, Reference) else part for part in parts)


def as_text(value: Any) -> str:
    """A value among other text: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def walked(value: Any, path: Sequence[str | int], reference: Reference) -> Any:
    """What is at a path inside a value. Raises Missing."""
    for part in path:
        missing = Missing(f"'${{{reference.text}}}': there is no {part!r}")
        if not isinstance(value, dict if isinstance(part, str) else list):
            raise missing
        try:
            value = value[part]  # type: ignore[index]  # the check above
        except (KeyError, IndexError):
            raise missing from None
    return value
