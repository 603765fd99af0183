"""Templates: files with places, filled by line.

Place in the path: inside the app builder. `«name»` stands for a value; one of several lines keeps
the place's indent. A line that begins with `«?flag»` is there only with that flag (`!` not, `&`
and, `|` or). Values come from a plan, whose names and labels are safe in every language here.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

PLACE = re.compile(r"«(\w+)»")
CONDITION = re.compile(r"«\?([\w!&|]+)»")
ROOT = Path(__file__).parent / "templates"


def fill(name: str, flags: AbstractSet[str], values: Mapping[str, str]) -> str:
    """The template `name` (`react/Table.jsx`) with its places filled."""
    lines = (_line(line, values) for line in _text(name).splitlines() if _holds(line, flags))
    return "\n".join(line for line in lines if line is not None) + "\n"


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _holds(line: str, flags: AbstractSet[str]) -> bool:
    condition = CONDITION.match(line)
    if condition is None:
        return True
    return any(
        all((flag.lstrip("!") in flags) != flag.startswith("!") for flag in each.split("&"))
        for each in condition.group(1).split("|")
    )


def _line(line: str, values: Mapping[str, str]) -> str | None:
    """The line with its values; None when it was a place alone and nothing is there."""
    line = CONDITION.sub("", line, count=1)
    alone = PLACE.fullmatch(line.strip())
    if alone is not None:
        indent = line[: len(line) - len(line.lstrip())]
        inner = values[alone.group(1)].splitlines()
        return "\n".join(f"{indent}{each}" if each else "" for each in inner) if inner else None
    return PLACE.sub(lambda place: values[place.group(1)], line)
