"""What a statement does, step by step, in plain words.

Place in the path: the explanation of every answer. It is told from the syntax tree, so that it is
true of the statement whatever model wrote it. It does not say why somebody would want it.
"""

from collections.abc import Iterator

from sqlglot import exp

from graphs.sql_assist.tables import Tables
from graphs.sql_assist.wording import Wording, listed

KEPT = {
    "LEFT": "keeping rows that have no match",
    "RIGHT": "keeping its rows that have no match",
    "FULL": "keeping the rows of both that have no match",
}
SET_WORDS = {
    exp.Union: "Puts the rows of two queries together",
    exp.Intersect: "Keeps the rows that two queries both give",
    exp.Except: "Takes the rows of the second query away from those of the first",
}


def explain(tree: exp.Expr, dialect: str, tables: Tables) -> list[str]:
    """The steps of a statement, in the order in which a database thinks of them."""
    try:
        return list(_steps(tree, dialect, tables))
    except RecursionError:
        return ["It is nested too deeply to be told."]


def _steps(tree: exp.Expr, dialect: str, tables: Tables) -> Iterator[str]:
    if isinstance(tree, exp.Subquery):
        tree = tree.unnest()
    yield from _prepared(tree, dialect, tables)
    if isinstance(tree, exp.Select):
        yield from _of_select(tree, dialect, tables)
    elif isinstance(tree, exp.SetOperation):
        yield from _of_set(tree, dialect, tables)
    else:
        yield from _of_write(tree, dialect, tables)


def _prepared(tree: exp.Expr, dialect: str, tables: Tables) -> Iterator[str]:
    """The parts of a WITH."""
    with_ = tree.args.get("with_")
    if with_ is None:
        return
    for part in with_.expressions:
        inner = "; ".join(step.rstrip(".") for step in _steps(part.this, dialect, tables))
        itself = ", which refers to itself" if with_.args.get("recursive") else ""
        yield f"Prepares '{part.alias}'{itself}: {inner}."


def wording(tree: exp.Expr, dialect: str, tables: Tables) -> Wording:
    """Words for the expressions of a statement: its aliases, and its columns of times."""
    sources = [table for table in tree.find_all(exp.Table) if table.name]
    counts: dict[str, int] = {}
    for table in sources:
        counts[table.name] = counts.get(table.name, 0) + 1
    names = {
        table.alias_or_name.casefold(): table.name
        if counts[table.name] == 1
        else table.alias_or_name
        for table in sources
    }
    times = {
        column.name.casefold()
        for table in sources
        if (known := tables.get(table.name))
        for column in known.columns
        if _is_time(column.type)
    }
    return Wording(names, dialect, times)


def _is_time(kind: str) -> bool:
    return bool(kind) and exp.DataType.build(kind, udt=True).this in exp.DataType.TEMPORAL_TYPES


def _of_select(tree: exp.Select, dialect: str, tables: Tables) -> Iterator[str]:
    words = wording(tree, dialect, tables)
    if source := tree.args.get("from_"):
        yield f"Reads {_source(source.this, dialect, tables)}."
    for join in tree.args.get("joins") or ():
        yield _join(join, words, dialect, tables)
    if where := tree.args.get("where"):
        yield f"Keeps the rows where {words.condition(where.this)}."
    if group := tree.args.get("group"):
        yield _group(group, tree, words, dialect)
    if having := tree.args.get("having"):
        yield f"Keeps the groups where {words.condition(having.this)}."
    yield f"Shows {listed([_shown(each, words) for each in tree.expressions])}."
    if distinct := tree.args.get("distinct"):
        on = distinct.args.get("on")
        yield f"Keeps one row for each {words.listed(on.expressions)}." if on else NO_DUPLICATES
    yield from _cut(tree, words)
    yield from _untold(tree, TOLD, dialect)


def _untold(tree: exp.Expr, told: set[str], dialect: str) -> Iterator[str]:
    """Clauses without words, as they are: nothing of a statement is left out."""
    for key, value in tree.args.items():
        parts = [each for each in (value if isinstance(value, list) else [value]) if each]
        if parts and key not in told:
            shown = [each.sql(dialect) if isinstance(each, exp.Expr) else key for each in parts]
            yield f"Also: {' '.join(shown).strip()}."


def _group(group: exp.Group, tree: exp.Select, words: Wording, dialect: str) -> str:
    if any(value for key, value in group.args.items() if key != "expressions"):
        return f"Groups: {group.sql(dialect).strip()}."
    kinds = []
    for each in group.expressions:
        is_place = isinstance(each, exp.Literal) and each.is_int
        place = int(each.name) if is_place else 0
        is_there = 0 < place <= len(tree.expressions)
        kinds.append(words.of(tree.expressions[place - 1] if is_there else each))
    return f"Makes one group for each {listed(kinds)}."


NO_DUPLICATES = "Leaves out rows that are there already."
TOLD = {
    "with_",
    "expressions",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "distinct",
    "order",
    "limit",
    "offset",
}
"""Clauses that have words; others are shown as they are."""
TOLD_OF_CHANGES = {"this", "expression", "expressions", "where", "with_"}


def _cut(tree: exp.Query, words: Wording) -> Iterator[str]:
    """Order and limit."""
    if order := tree.args.get("order"):
        yield f"Sorts by {words.ordered(order)}."
    if offset := tree.args.get("offset"):
        yield f"Skips the first {words.of(offset.expression)} rows."
    limit = tree.args.get("limit")
    if isinstance(limit, exp.Limit) and not limit.args.get("limit_options"):
        number = words.of(limit.expression)
        yield "Gives one row." if number == "1" else f"Gives at most {number} rows."
    elif limit is not None:
        yield f"Gives so many rows: {limit.sql(comments=False).strip()}."


def _source(source: exp.Expr, dialect: str, tables: Tables) -> str:
    if isinstance(source, exp.Table):
        alias = source.alias if source.alias and source.alias != source.name else ""
        return source.name or source.sql(dialect) if not alias else f"{source.name} (as {alias})"
    if isinstance(source, exp.Subquery):
        inner = "; ".join(step.rstrip(".") for step in _steps(source.this, dialect, tables))
        return f"a subquery{' called ' + source.alias if source.alias else ''} ({inner})"
    return source.sql(dialect)


def _join(join: exp.Join, words: Wording, dialect: str, tables: Tables) -> str:
    what = _source(join.this, dialect, tables)
    side = KEPT.get(join.side.upper())
    tail = f", {side}" if side else ""
    if not is_understood_join(join):
        return f"Joins: {join.sql(dialect, comments=False).strip()}."
    if on := join.args.get("on"):
        return f"Adds {what} where {words.condition(on)}{tail}."
    if using := join.args.get("using"):
        return (
            f"Adds {what} where both have the same {listed([each.name for each in using])}{tail}."
        )
    if join.method == "NATURAL":
        return f"Adds {what} where all columns of the same name are equal{tail}."
    return f"Combines every row with every row of {what}."


def is_understood_join(join: exp.Join) -> bool:
    """Whether it is of a kind that has words."""
    told = {"this", "on", "using", "side", "kind", "method"}
    is_plain = join.kind.upper() in ("", "INNER", "OUTER", "CROSS")
    return is_plain and not any(value for key, value in join.args.items() if key not in told)


def _shown(each: exp.Expr, words: Wording) -> str:
    text = words.of(each)
    inner = each.unalias()
    is_named = each.alias and not (isinstance(inner, exp.Column) and inner.name == each.alias)
    return f"{text} as '{each.alias}'" if is_named else text


def _of_set(tree: exp.SetOperation, dialect: str, tables: Tables) -> Iterator[str]:
    first = "; ".join(step.rstrip(".") for step in _steps(tree.left, dialect, tables))
    second = "; ".join(step.rstrip(".") for step in _steps(tree.right, dialect, tables))
    yield f"{SET_WORDS[type(tree)]}: ({first}) and ({second})."
    if tree.args.get("distinct"):
        yield NO_DUPLICATES
    yield from _cut(tree, wording(tree, dialect, tables))


def _of_write(tree: exp.Expr, dialect: str, tables: Tables) -> Iterator[str]:
    words = wording(tree, dialect, tables)
    where = tree.args.get("where")
    which = f"the rows where {words.condition(where.this)}" if where else "EVERY row"
    if isinstance(tree, exp.DML):
        yield from _of_change(tree, which, words, dialect, tables)
    elif isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema):
        columns = [part.name for part in tree.this.expressions if isinstance(part, exp.ColumnDef)]
        yield f"Makes the {str(tree.kind).lower()} {tree.this.this.name} with {listed(columns)}."
    elif isinstance(tree, (exp.Create, exp.Drop)):
        verb = "Makes" if isinstance(tree, exp.Create) else "Removes"
        targets = tree.args.get("tables") or [tree.this]
        names = listed([each.name for each in targets if each is not None])
        yield f"{verb} the {str(tree.args.get('kind')).lower()} {names}."
    elif isinstance(tree, exp.Values):
        yield f"Gives {len(tree.expressions)} rows of values."
    else:
        yield f"Does this: {tree.sql(dialect, comments=False)}."


def _of_change(
    tree: exp.DML, which: str, words: Wording, dialect: str, tables: Tables
) -> Iterator[str]:
    """A change of rows."""
    if isinstance(tree, exp.Insert):
        yield from _of_insert(tree, dialect, tables)
    elif isinstance(tree, exp.Update):
        sets = [f"{words.of(e.this)} to {words.of(e.expression)}" for e in tree.expressions]
        yield f"Changes {tree.this.name}: sets {listed(sets)} in {which}."
    elif isinstance(tree, exp.Delete):
        yield f"Deletes {which} of {tree.this.name}."
    else:
        yield f"Does this: {tree.sql(dialect, comments=False)}."
        return
    yield from _untold(tree, TOLD_OF_CHANGES, dialect)


def _of_insert(tree: exp.Insert, dialect: str, tables: Tables) -> Iterator[str]:
    target, columns = tree.this, ""
    if isinstance(target, exp.Schema):
        columns = f" ({', '.join(each.name for each in target.expressions)})"
        target = target.this
    values = tree.expression
    if isinstance(values, exp.Values):
        count = len(values.expressions)
        yield f"Adds {count} row{'s' if count > 1 else ''} to {target.name}{columns}."
    elif isinstance(values, exp.Query):
        inner = "; ".join(step.rstrip(".") for step in _steps(values, dialect, tables))
        yield f"Adds to {target.name}{columns} the rows of: {inner}."
    else:
        yield f"Adds one row of defaults to {target.name}."
