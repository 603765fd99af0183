"""Tables, as a caller's schema describes them.

Place in the path: what statements are checked against, planned on and prompted with. Names are
found whatever their case. It reads no text; that is `schema_text`.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `type` is empty where the schema does not say."""

    name: str
    type: str = ""
    nullable: bool = True
    values: tuple[str, ...] = ()
    """All that it can be, where a CHECK says so."""


@dataclass(frozen=True, slots=True)
class Index:
    """Columns that are found without a scan, in their order; keys are indexes too."""

    columns: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of one column."""

    column: str
    table: str
    to: str


@dataclass(slots=True)
class Table:
    """One table."""

    name: str
    columns: list[Column]
    primary_key: tuple[str, ...] = ()
    indexes: list[Index] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def column(self, name: str) -> Column | None:
        """The column of that name, in any case."""
        return next((c for c in self.columns if c.name.casefold() == name.casefold()), None)

    @property
    def keys(self) -> list[Index]:
        """The primary key and all indexes."""
        primary = [Index(self.primary_key, unique=True)] if self.primary_key else []
        return primary + self.indexes


class Tables:
    """All of them."""

    def __init__(self, tables: Iterable[Table] = ()) -> None:
        self._tables = {table.name.casefold(): table for table in tables}

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables.values())

    def __len__(self) -> int:
        return len(self._tables)

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._tables

    def get(self, name: str) -> Table | None:
        """The table of that name, in any case."""
        return self._tables.get(name.casefold())

    def types(self) -> dict[str, object]:
        """As sqlglot takes it: type by column by table. A column without a type is text."""
        return {
            table.name: {column.name: column.type or "text" for column in table.columns}
            for table in self
        }


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name that `name` was probably meant to be."""
    by_case = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.casefold(), by_case, 1, 0.7)
    return by_case[found[0]] if found else None
