"""Filters on metadata: which passages of a collection a search may find.

Place in the path: a field of search requests (step 1), and what a vector store translates to its
own language. The written form is that of OpenAI's vector stores:

    {"type": "eq", "key": "language", "value": "en"}
    {"type": "and", "filters": [{"type": "gte", "key": "year", "value": 2020}, ...]}

What it means is the same in every store. A passage that lacks the key does not match. A list in
metadata matches when one of its values does. Values match only their own kind: text, number, or
true and false. `in` matches any of several values; `gt`, `gte`, `lt`, `lte` compare numbers.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

MAX_CONDITIONS = 64
"""Of one filter, at all depths."""
MAX_DEPTH = 8
MAX_VALUES = 100
"""Of one `in`."""
MAX_KEYS = 32
"""Of one passage's metadata."""
MAX_TEXT = 1_000
"""Characters of one text in metadata."""
WHOLE = 2**53
"""Numbers beyond it have whole neighbours that some stores cannot tell apart."""

Key = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
"""Names that every store can hold."""
Text = Annotated[StrictStr, Field(max_length=MAX_TEXT, pattern=r"^[^\x00]*$")]
Number: TypeAlias = (
    Annotated[StrictInt, Field(ge=-WHOLE, le=WHOLE)]
    | Annotated[StrictFloat, Field(ge=-WHOLE, le=WHOLE)]
)
Scalar: TypeAlias = StrictBool | Number | Text
Metadata: TypeAlias = Annotated[
    Mapping[Key, Scalar | Annotated[list[Text], Field(max_length=MAX_VALUES)]],
    Field(max_length=MAX_KEYS),
]
"""What a passage, or a document, says of itself: text, numbers, true or false, or lists of text."""


class _Condition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Equals(_Condition):
    """The value of `key` is `value`."""

    type: Literal["eq"] = "eq"
    key: Key
    value: Scalar


class In(_Condition):
    """The value of `key` is one of `value`."""

    type: Literal["in"] = "in"
    key: Key
    value: tuple[Scalar, ...] = Field(min_length=1, max_length=MAX_VALUES)


class Compare(_Condition):
    """The number at `key` is beyond, or not beyond, `value`."""

    type: Literal["gt", "gte", "lt", "lte"]
    key: Key
    value: Number


class Combined(_Condition):
    """Every one of `filters`, or any of them."""

    type: Literal["and", "or"]
    filters: tuple["AnyFilter", ...] = Field(min_length=1, max_length=MAX_CONDITIONS)


AnyFilter: TypeAlias = Annotated[Equals | In | Compare | Combined, Field(discriminator="type")]
Combined.model_rebuild()


def _not_too_deep(document: Any) -> Any:
    """Before it is validated, which recurses: refuse what is nested for its own sake."""
    level = [document]
    for _ in range(MAX_DEPTH):
        level = [each for one in level for each in _inner(one)]
        if not level:
            return document
    raise ValueError(f"filters may be nested {MAX_DEPTH} deep at most")


def _inner(document: Any) -> list[Any]:
    if isinstance(document, Mapping):
        filters = document.get("filters")
        return list(filters) if isinstance(filters, list | tuple) else []
    return list(document.filters) if isinstance(document, Combined) else []


def _not_too_many(found: Equals | In | Compare | Combined) -> Equals | In | Compare | Combined:
    if conditions(found) > MAX_CONDITIONS:
        raise ValueError(f"a filter may have {MAX_CONDITIONS} conditions at most")
    return found


def conditions(filter_: Equals | In | Compare | Combined) -> int:
    """How many conditions a filter has, at all depths."""
    if isinstance(filter_, Combined):
        return sum(conditions(each) for each in filter_.filters)
    return 1


Filter: TypeAlias = Annotated[
    AnyFilter, BeforeValidator(_not_too_deep), AfterValidator(_not_too_many)
]
"""A filter as a request may give one. In code, of a function's parameter: `AnyFilter`."""
