"""Advice on a query: habits that cost time, and indexes that its plan would use.

Place in the path: the action `optimize`. An index is advised only if the planner takes it once it
is there. It changes nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlglot import exp

from graphs.sql_assist.planner import plan
from graphs.sql_assist.tables import Index, Table, Tables

FEW_VALUES = 10
MOST_INDEXES = 8
RANGES = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One piece of advice; `sql` is what would follow it, if it is a statement."""

    kind: str
    message: str
    sql: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def advise(tree: exp.Expr, dialect: str, tables: Tables) -> list[Suggestion]:
    """All advice on a statement."""
    found = [Suggestion("habit", message) for message in dict.fromkeys(_habits(tree, tables))]
    return found + _indexes(tree, dialect, tables)


def _habits(tree: exp.Expr, tables: Tables) -> Iterator[str]:
    for select in tree.find_all(exp.Select):
        yield from _of_select(select)
    for node in tree.find_all(exp.Union):
        if node.args.get("distinct"):
            yield "UNION sorts out duplicates: UNION ALL is cheaper where there are none"
    yield from _of_conditions(tree, tables)


def _of_conditions(tree: exp.Expr, tables: Tables) -> Iterator[str]:
    for node in tree.find_all(exp.Like, exp.ILike):
        pattern = node.expression
        if isinstance(pattern, exp.Literal) and pattern.name.startswith(("%", "_")):
            yield f"the pattern '{pattern.name}' begins with a wildcard: no plain index helps it"
    for negated in tree.find_all(exp.Not):
        inner = negated.this.unnest()
        if isinstance(inner, exp.In) and inner.args.get("query") and _may_be_null(inner, tables):
            yield "NOT IN gives no rows if the subquery has one NULL: NOT EXISTS does not"
    for compared in tree.find_all(exp.EQ, *RANGES):
        called = compared.this
        if isinstance(called, exp.Func) and (column := called.find(exp.Column)):
            call = called.sql(comments=False)
            yield f"{call} is computed for every row: an index on '{column.name}' does not help it"


def _of_select(select: exp.Select) -> Iterator[str]:
    if any(isinstance(each, exp.Star) for each in select.expressions) and not select.find_ancestor(
        exp.Exists
    ):
        yield "SELECT * reads every column: name those that are needed"
    joins = select.args.get("joins") or ()
    for join in () if select.args.get("where") else joins:
        if not (join.args.get("on") or join.args.get("using") or join.method):
            yield f"{join.this.alias_or_name} is joined without a condition: every pair is made"
    offset = select.args.get("offset")
    if offset is not None:
        yield "OFFSET reads what it skips: continue behind the last key instead"
    if select.args.get("limit") and not select.args.get("order"):
        yield "LIMIT without ORDER BY gives any rows"
    if select.args.get("distinct") and select.args.get("group"):
        yield "DISTINCT after GROUP BY is seldom needed"


def _may_be_null(within: exp.In, tables: Tables) -> bool:
    query = within.args["query"].unnest()
    column = query.expressions[0] if isinstance(query, exp.Select) and query.expressions else None
    source = query.find(exp.Table)
    table = tables.get(source.name) if source is not None else None
    known = table.column(column.name) if table and isinstance(column, exp.Column) else None
    return known is None or known.nullable


def _indexes(tree: exp.Expr, dialect: str, tables: Tables) -> list[Suggestion]:
    """Indexes that the plan would use, and that are not there."""
    wanted = list(dict.fromkeys(_candidates(tree, tables)))[:MOST_INDEXES]
    if not wanted:
        return []
    planned = plan(tree, tables, [(table, Index(columns)) for table, columns in wanted])
    return [
        _index(table, columns, dialect, tables)
        for number, (table, columns) in enumerate(wanted)
        if planned.uses(f"advice_{number}")
    ]


def _index(name: str, columns: tuple[str, ...], dialect: str, tables: Tables) -> Suggestion:
    parts = [exp.Ordered(this=exp.column(each), nulls_first=False) for each in columns]
    made = exp.Create(
        kind="INDEX",
        this=exp.Index(
            this=exp.to_identifier(f"{name}_{'_'.join(columns)}_idx"),
            table=exp.to_table(name),
            params=exp.IndexParameters(columns=[part.this for part in parts]),
        ),
    )
    message = f"rows of {name} are looked for by {' and '.join(columns)}, and no index has them"
    table = tables.get(name)
    first = table.column(columns[0]) if table else None
    if first is not None and first.values and len(first.values) <= FEW_VALUES:
        message += f"; '{first.name}' has few values, so it helps for rare ones only"
    return Suggestion("index", message, made.sql(dialect))


def _candidates(tree: exp.Expr, tables: Tables) -> Iterator[tuple[str, tuple[str, ...]]]:
    for select in tree.find_all(exp.Select):
        for source in _sources(select):
            table = tables.get(source.name)
            if table is None:
                continue
            equal, ranged = _compared(select, source, table)
            for columns in _combined(equal, ranged):
                if not _is_covered(columns, table):
                    yield table.name, columns


def _sources(select: exp.Select) -> Iterator[exp.Table]:
    for part in (select.args.get("from_"), *(select.args.get("joins") or ())):
        if part is not None and isinstance(part.this, exp.Table):
            yield part.this


def _compared(select: exp.Select, source: exp.Table, table: Table) -> tuple[list[str], list[str]]:
    """Columns of `source` that are looked up by equality, and those by range or order."""
    equal: list[str] = []
    ranged: list[str] = []
    conditions = [
        select.args.get("where"),
        *(j.args.get("on") for j in select.args.get("joins") or ()),
    ]
    for condition in filter(None, conditions):
        for node in condition.find_all(exp.EQ, exp.In, *RANGES):
            if node.find_ancestor(exp.Select) is not select or node.find_ancestor(exp.Or):
                continue
            sides = [node.this, node.args.get("expression")]
            names = [_own(side, source, table, select) for side in sides]
            (ranged if isinstance(node, RANGES) else equal).extend(filter(None, names))
    order = select.args.get("order")
    if order is not None and select.args.get("limit"):
        first = order.expressions[0]
        name = _own(first.this if isinstance(first, exp.Ordered) else first, source, table, select)
        ranged += [name] if name else []
    return list(dict.fromkeys(equal)), list(dict.fromkeys(ranged))


def _own(node: exp.Expr | None, source: exp.Table, table: Table, select: exp.Select) -> str | None:
    """The name of a column of `source`; None for anything else."""
    if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
        return None
    is_alone = not select.args.get("joins")
    if not (node.table == source.alias_or_name or (not node.table and is_alone)):
        return None
    column = table.column(node.name)
    return column.name if column else None


def _combined(equal: list[str], ranged: list[str]) -> Iterator[tuple[str, ...]]:
    """Equalities first, then one range: what an index can use."""
    if equal:
        yield (*equal, *ranged[:1])
    for column in equal if len(equal) > 1 else ():
        yield (column,)
    if ranged and not equal:
        yield (ranged[0],)


def _is_covered(columns: tuple[str, ...], table: Table) -> bool:
    """Whether an index begins with them, or a unique one has nothing but some of them."""
    return any(
        key.columns[: len(columns)] == columns or (key.unique and set(key.columns) <= set(columns))
        for key in table.keys
    )
