"""Single-table queries as values: their SQL and how they are drawn at random.

A follow-up question is a changed ``Query`` (see ``sql_followup``), so a conversation's SQL is
right by construction. Joins are whole sentences instead and live in ``sql_joins``.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

from models.starter_chat.sql_domain import BY_NAME, TABLES, Closed, Measure, Table

Aggregate = Literal["rows", "count", "sum", "avg", "max", "min", "distinct", "columns"]
UNITS = ("hour", "day", "week", "month", "year")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
ROUND_NUMBERS = (
    5,
    7,
    10,
    12,
    14,
    15,
    20,
    24,
    25,
    30,
    45,
    48,
    50,
    60,
    75,
    90,
    100,
    150,
    180,
    200,
    250,
    300,
    365,
    400,
    500,
    600,
    750,
    800,
    900,
)


@dataclass(frozen=True)
class Equals:
    """column = 'value'."""

    column: str
    value: str

    def sql(self) -> str:
        return f"{self.column} = '{self.value}'"


@dataclass(frozen=True)
class Compare:
    """column > n, column < n, or column BETWEEN n AND high."""

    column: str
    operator: Literal[">", "<", ">=", "<=", "=", "between"]
    number: int
    high: int = 0

    def sql(self) -> str:
        if self.operator == "between":
            return f"{self.column} BETWEEN {self.number} AND {self.high}"
        return f"{self.column} {self.operator} {self.number}"


@dataclass(frozen=True)
class Window:
    """A date condition. ``kind`` decides which of the other fields matter."""

    column: str
    kind: Literal["last", "older", "today", "yesterday", "this", "year", "month", "since", "before"]
    number: int = 0
    unit: str = ""
    text: str = ""

    def sql(self) -> str:
        c = self.column
        if self.kind in ("last", "older"):
            sign = ">=" if self.kind == "last" else "<"
            return f"{c} {sign} NOW() - INTERVAL '{interval(self.number, self.unit)}'"
        if self.kind == "year":
            return f"{c} >= '{self.number}-01-01' AND {c} < '{self.number + 1}-01-01'"
        if self.kind == "month":
            return _month_sql(c, self.number, int(self.text))
        return {
            "today": f"{c} >= CURRENT_DATE",
            "yesterday": f"{c} >= CURRENT_DATE - INTERVAL '1 day' AND {c} < CURRENT_DATE",
            "this": f"{c} >= DATE_TRUNC('{self.unit}', NOW())",
            "since": f"{c} >= '{self.text}'",
            "before": f"{c} < '{self.text}'",
        }[self.kind]


Filter = Equals | Compare | Window


def interval(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _month_sql(column: str, year: int, month: int) -> str:
    following = f"{year + 1}-01-01" if month == 12 else f"{year}-{month + 1:02d}-01"
    return f"{column} >= '{year}-{month:02d}-01' AND {column} < '{following}'"


@dataclass(frozen=True)
class Query:
    """A SELECT over one table. ``of`` is the aggregated or listed column(s)."""

    table: str
    aggregate: Aggregate = "rows"
    of: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    group: str = ""
    order: str = ""
    descending: bool = True
    limit: int = 0

    def sql(self) -> str:
        group = f"DATE_TRUNC('{self.group[1:]}', {self.date})" if self.by_period else self.group
        # Words from this package's own tables: nothing here comes from a caller.
        parts = [f"SELECT {self._selected(group)} FROM {self.table}"]  # noqa: S608
        if self.filters:
            parts.append("WHERE " + " AND ".join(f.sql() for f in in_order(self).filters))
        if group:
            parts.append(
                f"GROUP BY {self.group[1:]} ORDER BY {self.group[1:]}"
                if self.by_period
                else f"GROUP BY {group}"
            )
        if self.order:
            parts.append(f"ORDER BY {self.order} {'DESC' if self.descending else 'ASC'}")
        if self.limit:
            parts.append(f"LIMIT {self.limit}")
        return " ".join(parts) + ";"

    @property
    def by_period(self) -> bool:
        """Groups by day, week or month are written ``@day``: they are no column."""
        return self.group.startswith("@")

    @property
    def date(self) -> str:
        return BY_NAME[self.table].date

    @property
    def numbers(self) -> int:
        """How many free numbers the query has: more numbers, more ways to be wrong."""
        compared = sum(isinstance(f, Compare) for f in self.filters)
        dated = sum(
            isinstance(f, Window) and f.kind not in ("today", "yesterday", "this")
            for f in self.filters
        )
        return compared + dated + (self.limit > 0)

    def _selected(self, group: str) -> str:
        column = ", ".join(self.of)
        value = {
            "rows": "*",
            "count": "COUNT(*)",
            "distinct": f"DISTINCT {column}",
            "columns": column,
        }.get(self.aggregate, f"{self.aggregate.upper()}({column})")
        if not group:
            return value
        return f"{group} AS {self.group[1:]}, {value}" if self.by_period else f"{group}, {value}"


def in_order(query: Query) -> Query:
    """Closed values, then numbers, then dates: one question has one right answer."""
    closed = [c.column for c in BY_NAME[query.table].closed]
    equal = [f for f in query.filters if isinstance(f, Equals)]
    equal.sort(key=lambda f: closed.index(f.column) if f.column in closed else -1)
    numbers = [f for f in query.filters if isinstance(f, Compare)]
    dates = [f for f in query.filters if isinstance(f, Window)]
    return replace(query, filters=(*equal, *numbers, *dates))


def draw_number(rng: random.Random, limit: int = 999) -> int:
    """1..limit with short, long and round numbers all common, since digits are the weak spot."""
    if limit < 10:
        return rng.randint(1, limit)
    if rng.random() < 0.25:
        return rng.choice([n for n in ROUND_NUMBERS if n <= limit])
    return rng.randint(1, min(limit, rng.choice((9, 99, 99, 999, 999))))


def draw_window(rng: random.Random, column: str) -> Window:
    roll = rng.random()
    if roll < 0.62:
        unit = rng.choice(("day", "day", "day", "day", "hour", "week", "month", "year"))
        number = 1 if rng.random() < 0.12 else draw_number(rng)
        return Window(column, "last", number, unit)
    if roll < 0.68:
        number, units = draw_number(rng), ("day", "day", "hour", "week", "month")
        return Window(column, "older", number, rng.choice(units))
    if roll < 0.74:
        return Window(column, "today" if rng.random() < 0.6 else "yesterday")
    if roll < 0.82:
        units = ("week", "month", "month", "quarter", "year")
        return Window(column, "this", unit=rng.choice(units))
    return _draw_dates(rng, column, roll)


def _draw_dates(rng: random.Random, column: str, roll: float) -> Window:
    """A calendar year, a month of one, or an open range from or to a day."""
    year = rng.randint(2018, 2027)
    if roll < 0.87:
        return Window(column, "year", year)
    if roll < 0.92:
        return Window(column, "month", year, text=str(rng.randint(1, 12)))
    day = f"{year}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return Window(column, "since" if rng.random() < 0.6 else "before", text=day)


def draw_compare(rng: random.Random, measure: Measure) -> Compare:
    number = draw_number(rng, measure.limit)
    if measure.column == "rating" and rng.random() < 0.5:
        return Compare("rating", "=", number)
    roll = rng.random()
    if roll < 0.12 and measure.limit > 5:
        low, high = sorted((number, draw_number(rng, measure.limit)))
        return Compare(measure.column, "between", low, high + (low == high))
    if roll < 0.24:
        return Compare(measure.column, ">=" if rng.random() < 0.6 else "<=", number)
    return Compare(measure.column, ">" if rng.random() < 0.6 else "<", number)


def draw_equals(rng: random.Random, closed: Closed) -> Equals:
    return Equals(closed.column, rng.choice(list(closed.values)))


def draw_filters(rng: random.Random, table: Table, most: int = 3) -> tuple[Filter, ...]:
    filters: list[Filter] = []
    filters += [
        draw_equals(rng, closed)
        for closed in table.closed
        if rng.random() < 0.85 / len(table.closed)
    ]
    if table.measures and rng.random() < 0.3:
        filters.append(draw_compare(rng, rng.choice(table.measures)))
    if table.date and rng.random() < 0.5:
        filters.append(draw_window(rng, table.date))
    rng.shuffle(filters)
    return tuple(filters[:most])


def draw_query(rng: random.Random) -> Query:
    """One query; tables with more columns come more often."""
    table = rng.choices(TABLES, [2 + 3 * len(t.closed) + 2 * len(t.measures) for t in TABLES])[0]
    query = Query(table.name, filters=draw_filters(rng, table, rng.choice((1, 2, 2, 3))))
    roll = rng.random()
    if roll < 0.36:
        return query
    if roll < 0.52:
        return replace(query, aggregate="count")
    if roll < 0.64:
        return _draw_aggregate(rng, table, query)
    if roll < 0.76:
        return _draw_group(rng, table, query)
    if roll < 0.92:
        return _draw_ranking(rng, table, query)
    return _draw_columns(rng, table, query)


def _draw_aggregate(rng: random.Random, table: Table, query: Query) -> Query:
    if not table.measures:
        return replace(query, aggregate="count")
    aggregates: tuple[Aggregate, ...] = ("sum", "avg", "avg", "max", "min")
    aggregate = rng.choice(aggregates)
    column = rng.choice(table.measures).column
    if aggregate == "sum" and column in ("rating", "unit_price", "price"):
        aggregate = "avg"
    kept = tuple(f for f in query.filters if not isinstance(f, Compare))
    return replace(query, aggregate=aggregate, of=(column,), filters=kept)


def _draw_group(rng: random.Random, table: Table, query: Query) -> Query:
    groups = [c.column for c in table.closed]
    if table.date:
        groups += ["@month", "@day", "@week"][: rng.randint(1, 3)]
    if not groups:
        return replace(query, aggregate="count")
    group = rng.choice(groups)
    kept = tuple(
        f
        for f in query.filters
        if isinstance(f, Window) or (isinstance(f, Equals) and f.column != group)
    )[:1]
    grouped = replace(query, aggregate="count", filters=kept, group=group)
    if table.measures and rng.random() < 0.45:
        return replace(_draw_aggregate(rng, table, grouped), filters=kept)
    return grouped


def _draw_ranking(rng: random.Random, table: Table, query: Query) -> Query:
    columns = [m.column for m in table.measures] + ([table.date] if table.date else [])
    limit = 1 if rng.random() < 0.06 else draw_number(rng)
    if not columns or rng.random() < 0.12:
        return replace(query, limit=limit, filters=query.filters[:1])
    order = rng.choice(columns)
    kept = tuple(f for f in query.filters if f.column != order)[:1]
    return replace(query, order=order, descending=rng.random() < 0.7, limit=limit, filters=kept)


def _draw_columns(rng: random.Random, table: Table, query: Query) -> Query:
    if not table.columns:
        return query
    if table.closed and rng.random() < 0.2:
        return Query(table.name, "distinct", (rng.choice(table.closed).column,))
    names = [c for c in table.columns if c not in {f.column for f in query.filters}]
    if table.name == "users" and rng.random() < 0.35:
        return replace(query, aggregate="columns", of=("name", "email"))
    return replace(query, aggregate="columns", of=(rng.choice(names),)) if names else query
