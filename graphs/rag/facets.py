"""Metadata as databases filter it: each key under a name that says what kind of value it has.

Place in the path: under the stores that are not PostgreSQL. They decide a field's type by its first
value, or mix types in their own ways; with the kind in the name, `1`, `"1"` and `true` never meet,
and a filter means the same everywhere. What comes back with a passage is the metadata itself, as
JSON beside it.
"""

from typing import TypeAlias

from core.filters import Equals, In, Metadata, Scalar

FLAG, NUMBER, TEXT = "flag", "number", "text"
Facet: TypeAlias = bool | float | list[str]


def facets(metadata: Metadata) -> dict[str, Facet]:
    """Name and value of each key: `number_year` is 2020, `text_language` is a list of text."""
    named: dict[str, Facet] = {}
    for key, value in metadata.items():
        if isinstance(value, list):
            named |= {f"{TEXT}_{key}": value} if value else {}
        else:
            named[facet_name(key, value)] = [value] if isinstance(value, str) else value
    return named


def facet_name(key: str, value: Scalar) -> str:
    """Under which name a value of `key` is."""
    return f"{_kind(value)}_{key}"


def kind_of(name: str) -> str:
    """FLAG, NUMBER or TEXT, of a facet's name."""
    return name.partition("_")[0]


def alternatives(filter_: In) -> list[Equals]:
    """An `in` as one `eq` for each value."""
    return [Equals(key=filter_.key, value=value) for value in filter_.value]


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return FLAG
    return TEXT if isinstance(value, str) else NUMBER
