"""Expressions of SQL in plain words.

Place in the path: under `english`, which tells a statement's steps. What has no words here stays
SQL: it is better quoted than told wrong. It never asks a model.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlglot import exp

COMPARED = {
    exp.EQ: "is",
    exp.NEQ: "is not",
    exp.GT: "is more than",
    exp.GTE: "is at least",
    exp.LT: "is less than",
    exp.LTE: "is at most",
    exp.Like: "matches",
    exp.ILike: "matches, in any case,",
}
OF_TIMES = {
    exp.GT: "is after",
    exp.GTE: "is not before",
    exp.LT: "is before",
    exp.LTE: "is not after",
}
NEGATED = {
    "is": "is not",
    "matches": "does not match",
    "matches, in any case,": "does not match, in any case,",
}
AGGREGATED: dict[type, str] = {
    exp.Sum: "the sum of",
    exp.Avg: "the average of",
    exp.Min: "the smallest",
    exp.Max: "the largest",
}
TIMES = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.TimestampTrunc,
    exp.DateTrunc,
    exp.Interval,
    exp.DateAdd,
    exp.DateSub,
)
UNDERSTOOD = {
    "this",
    "expression",
    "expressions",
    "low",
    "high",
    "query",
    "unit",
    "partition_by",
    "order",
    "over",
    "alias",
    "table",
    "big_int",
    "nulls_first",
    "desc",
}
"""Parts of an expression that words are made of. One with any other part stays SQL."""
IN_SHORT = {"expressions", "from_", "where"}
"""Clauses of a subquery that is told in a few words."""
NEGATABLE = (exp.Like, exp.ILike, exp.Is)
RANKS = {"ROW_NUMBER": "the place", "RANK": "the rank", "DENSE_RANK": "the rank"}


class Wording:
    """Words for the expressions of one statement.

    Args:
        names: table by alias, for columns; one that is missing keeps its alias.
        dialect: for what stays SQL.
        times: names of columns that hold times, in lower case.
    """

    def __init__(self, names: Mapping[str, str], dialect: str, times: Iterable[str] = ()) -> None:
        self._names = names
        self._dialect = dialect
        self._times = set(times)
        self._words: list[tuple[tuple[type, ...], Callable[[Any], str]]] = [
            ((exp.Paren,), lambda node: self.of(node.this)),
            ((exp.Alias,), lambda node: self.of(node.this)),
            ((exp.Column,), self._column),
            ((exp.And,), lambda node: self._joined(node, "and")),
            ((exp.Or,), lambda node: self._joined(node, "or")),
            ((exp.Not,), self._not),
            (tuple(COMPARED), self._comparison),
            ((exp.Between,), self._between),
            ((exp.In,), lambda node: self._in(node, "is one of")),
            ((exp.Is,), self._is),
            ((exp.Exists,), lambda node: f"there is {self._rows(node.this)}"),
            ((exp.Count,), self._count),
            (tuple(AGGREGATED), self._aggregate),
            ((exp.Filter,), self._filter),
            ((exp.Window,), self._window),
            ((exp.Subquery,), lambda node: f"({self._rows(node.this)})"),
            ((exp.CurrentTimestamp, exp.CurrentDatetime), lambda _: "now"),
            ((exp.CurrentDate,), lambda _: "today"),
            ((exp.TimestampTrunc, exp.DateTrunc), self._truncated),
            ((exp.Extract,), lambda node: f"the {node.name.lower()} of {self.of(node.expression)}"),
            ((exp.Star,), lambda _: "every column"),
        ]

    def of(self, node: exp.Expr) -> str:
        """The words of an expression."""
        if is_understood(node):
            for kinds, words in self._words:
                if isinstance(node, kinds):
                    return words(node)
        return node.sql(self._dialect, comments=False)

    def listed(self, nodes: Iterable[exp.Expr]) -> str:
        """`a, b and c`."""
        return listed([self.of(node) for node in nodes])

    def condition(self, node: exp.Expr) -> str:
        """A WHERE, ON or HAVING."""
        return self.of(node.unnest())

    def _column(self, node: exp.Column) -> str:
        name = "every column" if isinstance(node.this, exp.Star) else node.name
        if not node.table or len(self._names) == 1:
            return name
        table = self._names.get(node.table.casefold(), node.table)
        return f"{name} of {table}" if name == "every column" else f"{table}.{name}"

    def _joined(self, node: exp.Connector, word: str) -> str:
        parts = []
        for part in node.flatten():
            inner = part.unnest()
            is_other = isinstance(inner, exp.Connector) and type(inner) is not type(node)
            parts.append(f"({self.of(inner)})" if is_other else self.of(inner))
        return f" {word} ".join(parts)

    def _not(self, node: exp.Not) -> str:
        inner = node.this.unnest()
        if isinstance(inner, exp.In) and is_understood(inner):
            return self._in(inner, "is none of")
        if isinstance(inner, exp.Exists):
            return f"there is no {self._rows(inner.this).removeprefix('a ')}"
        return f"it is not so that ({self.of(inner)})"

    def _comparison(self, node: exp.Binary) -> str:
        left, right = node.this, node.expression
        if window := self._last(node):
            return window
        is_time = isinstance(right, TIMES) or right.find(*TIMES) or self._is_time(left)
        verb = OF_TIMES.get(type(node), COMPARED[type(node)]) if is_time else COMPARED[type(node)]
        verb = NEGATED[verb] if node.args.get("negate") else verb
        return f"{self.of(left)} {verb} {self.of(right)}"

    def _is_time(self, node: exp.Expr) -> bool:
        return isinstance(node, exp.Column) and node.name.casefold() in self._times

    def _last(self, node: exp.Binary) -> str | None:
        """`x >= now - interval` as the last days."""
        right = node.expression.unnest()
        if not isinstance(right, exp.Sub) or not isinstance(right.expression, exp.Interval):
            return None
        if not isinstance(right.this, (exp.CurrentTimestamp, exp.CurrentDate)):
            return None
        span = self._span(right.expression)
        words = {exp.GT: "is in the last", exp.GTE: "is in the last"}
        if type(node) in words and isinstance(right.this, exp.CurrentTimestamp):
            return f"{self.of(node.this)} {words[type(node)]} {span}"
        start = f"{span} before {self.of(right.this)}"
        verb = OF_TIMES.get(type(node))
        return f"{self.of(node.this)} {verb} {start}" if verb else None

    def _span(self, node: exp.Interval) -> str:
        unit = node.args.get("unit")
        name = unit.name.lower() if unit is not None else ""
        number = node.this.name if isinstance(node.this, exp.Literal) else self.of(node.this)
        if name and number == "1":
            name = name.removesuffix("s")
        elif name and not name.endswith("s"):
            name += "s"
        return f"{number} {name}".strip()

    def _between(self, node: exp.Between) -> str:
        low, high = self.of(node.args["low"]), self.of(node.args["high"])
        return f"{self.of(node.this)} is between {low} and {high}"

    def _in(self, node: exp.In, verb: str) -> str:
        query = node.args.get("query")
        if query is not None:
            word = "among" if verb == "is one of" else "not among"
            return f"{self.of(node.this)} is {word} {self._rows(query.unnest())}"
        return f"{self.of(node.this)} {verb} {listed([self.of(e) for e in node.expressions], 'or')}"

    def _is(self, node: exp.Is) -> str:
        is_negated = node.args.get("negate")
        if isinstance(node.expression, exp.Null):
            return f"{self.of(node.this)} is {'there' if is_negated else 'missing'}"
        return f"{self.of(node.this)} is {'not ' if is_negated else ''}{self.of(node.expression)}"

    def _rows(self, query: exp.Expr) -> str:
        """A subquery, in short."""
        if not isinstance(query, exp.Select) or any(
            value and key not in IN_SHORT for key, value in query.args.items()
        ):
            return f"the rows of {query.sql(self._dialect, comments=False)}"
        source = query.args.get("from_")
        names = dict(self._names)
        if source is not None and isinstance(source.this, exp.Table):
            names[source.this.alias_or_name.casefold()] = source.this.name
        inner = Wording(names, self._dialect, self._times)
        of = f" of {source.this.name or 'a subquery'}" if source is not None else ""
        where = query.args.get("where")
        which = f" (where {inner.condition(where.this)})" if where else ""
        if isinstance(query.parent, exp.Exists):
            return f"a row{of}{which}"
        return f"{inner.listed(query.expressions)}{of}{which}"

    def _count(self, node: exp.Count) -> str:
        inner = node.this
        if isinstance(inner, exp.Distinct):
            return f"the number of different {self.listed(inner.expressions)}"
        if isinstance(inner, (exp.Star, exp.Literal)):
            return "the number of rows"
        return f"the number of rows that have {self.of(inner)}"

    def _aggregate(self, node: exp.AggFunc) -> str:
        words, inner = AGGREGATED[type(node)], node.this
        if isinstance(inner, exp.Distinct):
            return f"{words} the different {self.listed(inner.expressions)}"
        return f"{words} {self.of(inner)}"

    def _filter(self, node: exp.Filter) -> str:
        where = node.expression
        return f"{self.of(node.this)} where {self.condition(where.this)}"

    def _window(self, node: exp.Window) -> str:
        function = node.this
        words = RANKS.get(function.sql_name(), "") if isinstance(function, exp.Func) else ""
        text = words or self.of(function)
        if parts := node.args.get("partition_by"):
            text += f" within each {self.listed(parts)}"
        if order := node.args.get("order"):
            text += f", in the order of {self.ordered(order)}"
        return text

    def ordered(self, order: exp.Order) -> str:
        """What an ORDER BY sorts by."""
        parts = []
        for each in order.expressions:
            is_ordered = isinstance(each, exp.Ordered)
            falls = is_ordered and each.args.get("desc")
            inner = each.this if is_ordered else each
            parts.append(self.of(inner) + (", largest first" if falls else ""))
        return ", then ".join(parts)

    def _truncated(self, node: exp.Expr) -> str:
        unit = node.args["unit"].name.lower()
        if isinstance(node.this, (exp.CurrentTimestamp, exp.CurrentDate)):
            return f"the start of this {unit}"
        return f"the {unit} of {self.of(node.this)}"


def is_understood(node: exp.Expr) -> bool:
    """Whether all that the expression says is among what words are made of."""
    return all(
        key in UNDERSTOOD or (key == "negate" and isinstance(node, NEGATABLE))
        for key, value in node.args.items()
        if value
    )


def listed(words: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(words) < 2:  # noqa: PLR2004 - nothing to join
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
