"""Grouping: what a grouped SELECT may show, as the SQL standard has it.

Place in the path: after the names. SQLite, which plans the statement, would pick some row's value;
most databases refuse. Columns of a table whose primary key is grouped by depend on it: they are
fine.
"""

from collections.abc import Iterator

from sqlglot import exp

from graphs.sql_assist.faults import Fault, at_node
from graphs.sql_assist.tables import Tables

NOT_GROUPED = "not_grouped"
AGGREGATE_PLACE = "aggregate_place"
AGGREGATES = (exp.AggFunc, exp.Filter, exp.WithinGroup)
ENDS = (*AGGREGATES, exp.Window, exp.Query)
NOT_BARE = (*ENDS, exp.Anonymous)
"""What has one value in a group, or may have: an unknown function may be an aggregate."""


def check_grouping(tree: exp.Expr, text: str, tables: Tables) -> Iterator[Fault]:
    """Columns that are shown beside aggregates and are not grouped by; aggregates in WHERE."""
    for select in tree.find_all(exp.Select):
        yield from _aggregates_in_where(select, text)
        if not is_grouped(select):
            continue
        grouped = _Grouped(select, tables)
        for shown in select.expressions:
            for column in _bare_columns(shown, grouped):
                where = column.this if isinstance(column, exp.Column) else column
                message = f"'{column.sql()}' must be in GROUP BY, or inside an aggregate"
                yield at_node(NOT_GROUPED, message, text, where)


def is_grouped(select: exp.Select) -> bool:
    """Whether it makes one row of several."""
    if select.args.get("group"):
        return True
    shown = [*select.expressions, *filter(None, [select.args.get("having")])]
    return any(True for each in shown for _ in aggregates(each))


def aggregates(node: exp.Expr) -> Iterator[exp.Expr]:
    """The aggregates of an expression; those of windows and subqueries are not its own."""
    for each in node.walk(prune=lambda inner: isinstance(inner, ENDS)):
        if isinstance(each, AGGREGATES):
            yield each


def _aggregates_in_where(select: exp.Select, text: str) -> Iterator[Fault]:
    where = select.args.get("where")
    for found in aggregates(where.this) if where else ():
        message = f"'{found.sql()}' is an aggregate: conditions on it go into HAVING"
        yield at_node(AGGREGATE_PLACE, message, text, found)


class _Grouped:
    """What a SELECT groups by."""

    def __init__(self, select: exp.Select, tables: Tables) -> None:
        shown = list(select.expressions)
        aliases = {each.alias.casefold(): each.unalias() for each in shown if each.alias}
        self.expressions: set[str] = set()
        self.columns: set[tuple[str, str]] = set()
        group = select.args.get("group")
        self.is_plain = group is None or not any(
            group.args.get(kind) for kind in ("grouping_sets", "cube", "rollup", "all")
        )
        for each in group.expressions if group else ():
            self._add(each)
            if isinstance(each, exp.Column) and not each.table:
                self._add(aliases.get(each.name.casefold(), each))
            if isinstance(each, exp.Literal) and each.is_int and 0 < int(each.name) <= len(shown):
                self._add(shown[int(each.name) - 1].unalias())
        self.whole = self._whole_tables(select, tables)
        """Aliases of tables, and `.column` of their columns, whose primary key is grouped by."""

    def _add(self, each: exp.Expr) -> None:
        self.expressions.add(each.sql(normalize=True))
        if isinstance(each, exp.Column):
            self.columns.add((each.table.casefold(), each.name.casefold()))

    def _whole_tables(self, select: exp.Select, tables: Tables) -> set[str]:
        """Aliases of the tables whose primary key is grouped by."""
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        whole = set()
        for source in sources:
            table = source.this if source is not None else None
            known = tables.get(table.name) if isinstance(table, exp.Table) else None
            if known is None or not known.primary_key or not isinstance(table, exp.Table):
                continue
            alias = table.alias_or_name.casefold()
            if all(self.has(alias, name.casefold()) for name in known.primary_key):
                whole.add(alias)
                whole |= {f".{column.name.casefold()}" for column in known.columns}
        return whole

    def has(self, table: str, name: str) -> bool:
        """Whether it groups by the column; a missing table name fits any."""
        return any(
            name == other and (not table or not of or table == of) for of, other in self.columns
        )

    def covers(self, column: exp.Column | exp.Star) -> bool:
        """Whether a column, or all of a table, has one value in each group."""
        if isinstance(column, exp.Star):
            return False
        table, name = column.table.casefold(), column.name.casefold()
        if isinstance(column.this, exp.Star):
            return table in self.whole
        depends = table in self.whole if table else f".{name}" in self.whole
        return depends or self.has(table, name)


def _bare_columns(node: exp.Expr, grouped: _Grouped) -> Iterator[exp.Expr]:
    if not grouped.is_plain or isinstance(node, NOT_BARE):
        return
    if node.unalias().sql(normalize=True) in grouped.expressions:
        return
    if isinstance(node, (exp.Column, exp.Star)):
        if not grouped.covers(node):
            yield node
    else:
        for child in node.iter_expressions():
            yield from _bare_columns(child, grouped)
