"""Names: every table and column of a statement is one of the schema's.

Place in the path: after the syntax, when a schema is given. What is certainly unknown is told with
its place and the name that was probably meant; what is left (ambiguous names, scopes) is told by
sqlglot's own qualification. It plans nothing.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

from graphs.sql_assist.faults import Fault, at_node
from graphs.sql_assist.statement import SYNTAX
from graphs.sql_assist.tables import Table, Tables, closest

UNKNOWN_TABLE = "unknown_table"
UNKNOWN_COLUMN = "unknown_column"
AMBIGUOUS = "ambiguous_column"
NAMES = "names"
MOST_NAMED = 12
MOST_RESOLVED = 10_000
"""Columns of tables, times SELECTs: what resolving all names looks at."""


def check_names(tree: exp.Expr, text: str, tables: Tables, dialect: str) -> list[Fault]:
    """What `tree` names and `tables` lack."""
    if isinstance(tree, (exp.Create, exp.Drop, exp.Alter)):
        return []  # it makes or removes the names
    if faults := [*_without_from(tree, text), *_unknown_tables(tree, text, tables)]:
        return faults
    if not isinstance(tree, exp.Query):
        return list(_unknown_in_write(tree, text, tables))
    try:
        faults = [fault for scope in traverse_scope(tree) for fault in _of(scope, text, tables)]
    except SqlglotError as error:
        return [Fault(NAMES, _plain(error))]
    return _once(faults) or _unqualified(tree, tables, dialect)


def tables_of(tree: exp.Expr) -> Iterator[exp.Table]:
    """The tables that a statement reads or writes, its own WITH parts left out."""
    own = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        is_function = isinstance(table.this, exp.Func)
        if table.name and not is_function and (table.db or table.name.casefold() not in own):
            yield table


def doubtful_names(tree: exp.Expr, text: str, tables: Tables) -> Iterator[Fault]:
    """A SELECT that reads nothing and calls something by the name of a table: its FROM is missing,
    though databases take the name for an alias.
    """
    for select in tree.find_all(exp.Select):
        for shown in () if select.args.get("from_") else select.expressions:
            if isinstance(shown, exp.Alias) and shown.alias in tables:
                name = shown.args["alias"]
                yield at_node(SYNTAX, f"FROM seems to be missing before '{name.name}'", text, name)


def _without_from(tree: exp.Expr, text: str) -> Iterator[Fault]:
    """A star that stands for the columns of nothing."""
    for select in tree.find_all(exp.Select):
        for shown in () if select.args.get("from_") else select.expressions:
            if isinstance(shown.unalias(), exp.Star):
                yield at_node(SYNTAX, "'*' without FROM", text, shown.unalias())


def _unknown_tables(tree: exp.Expr, text: str, tables: Tables) -> Iterator[Fault]:
    for table in tables_of(tree):
        if table.name not in tables:
            guess = closest(table.name, (known.name for known in tables))
            hint = f"; did you mean '{guess}'?" if guess else f"; there are: {_some(tables)}"
            message = f"the schema has no table '{table.name}'{hint}"
            yield at_node(UNKNOWN_TABLE, message, text, table.this, guess)


def _some(tables: Tables) -> str:
    names = [table.name for table in tables]
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def _unknown_in_write(tree: exp.Expr, text: str, tables: Tables) -> Iterator[Fault]:
    """Columns of an INSERT, UPDATE, DELETE or MERGE that none of its tables has."""
    known = {table.name.casefold(): tables.get(table.name) for table in tables_of(tree)}
    columns = {c.name.casefold() for table in known.values() if table for c in table.columns}
    columns |= {alias.alias.casefold() for alias in tree.find_all(exp.Alias)}
    named: list[exp.Expr] = list(tree.find_all(exp.Column))
    if isinstance(tree, exp.Insert) and isinstance(tree.this, exp.Schema):
        named += tree.this.expressions
    if tree.find(exp.CTE) or tree.find(exp.Subquery):
        return  # names of its own; EXPLAIN knows them
    for column in named:
        place = column.this if isinstance(column, exp.Column) else column
        if column.name and column.name.casefold() not in columns and column.name != "*":
            yield _no_column(column.name, columns).at(text, place)


class _Found(NamedTuple):
    """What is wrong with a name."""

    code: str
    message: str
    guess: str | None = None

    def at(self, text: str, node: exp.Expr) -> Fault:
        """With its place."""
        hint = f"; did you mean '{self.guess}'?" if self.guess else ""
        return at_node(self.code, self.message + hint, text, node, self.guess)


def _no_column(name: str, known: Iterable[str]) -> _Found:
    return _Found(UNKNOWN_COLUMN, f"no table here has a column '{name}'", closest(name, known))


def _of(scope: Scope, text: str, tables: Tables) -> Iterator[Fault]:
    """Columns of one SELECT that are certainly not there."""
    for column in scope.find_all(exp.Column):
        if not isinstance(column.this, exp.Identifier):
            continue
        found = _in_source(column, scope, tables) if column.table else _bare(column, scope, tables)
        if found is not None:
            is_table = found.code == UNKNOWN_TABLE
            yield found.at(text, column.args["table"] if is_table else column.this)


def _in_source(column: exp.Column, scope: Scope, tables: Tables) -> _Found | None:
    source = _source(column.table, scope)
    if source is None:
        known = sorted({name for one in _chain(scope) for name in one.sources})
        message = f"'{column.table}' is none of this query's tables ({', '.join(known)})"
        return _Found(UNKNOWN_TABLE, message, closest(column.table, known))
    names = _columns(source, tables)
    if names is None or column.name.casefold() in names:
        return None
    message = f"'{column.table}' has no column '{column.name}'"
    return _Found(UNKNOWN_COLUMN, message, closest(column.name, names))


def _bare(column: exp.Column, scope: Scope, tables: Tables) -> _Found | None:
    known: set[str] = set()
    for one in _chain(scope):
        for source in one.sources.values():
            names = _columns(source, tables)
            if names is None:
                return None
            known |= names
        if one is scope or isinstance(one.expression, exp.Select):
            known |= _aliases(one)
    if column.name.casefold() in known or column.name.casefold() in tables:
        return _ambiguous(column, scope, tables)
    return _no_column(column.name, known)


def _ambiguous(column: exp.Column, scope: Scope, tables: Tables) -> _Found | None:
    """A bare name that several sources of the same SELECT have."""
    name = column.name.casefold()
    joins = scope.expression.args.get("joins") or ()
    is_output = name in _outputs(scope)
    if (is_output and column.find_ancestor(exp.Order)) or any(
        join.args.get("using") or join.method == "NATURAL" for join in joins
    ):
        return None
    have = [
        alias
        for alias, source in scope.selected_sources.items()
        if name in (_columns(source[1], tables) or ())
    ]
    if len(have) < 2:  # noqa: PLR2004 - one is the one that is meant
        return None
    return _Found(AMBIGUOUS, f"'{column.name}' is ambiguous: {' and '.join(have)} have it")


def _chain(scope: Scope) -> Iterator[Scope]:
    """A scope and those around it."""
    one: Scope | None = scope
    while one is not None:
        yield one
        one = one.parent


def _source(name: str, scope: Scope) -> object | None:
    for one in _chain(scope):
        for alias, source in one.sources.items():
            if alias.casefold() == name.casefold():
                return source
    return None


def _aliases(scope: Scope) -> set[str]:
    if isinstance(scope.expression, exp.SetOperation):
        return _outputs(scope)
    if not isinstance(scope.expression, exp.Select):
        return set()
    selected = scope.expression.expressions
    return {each.alias.casefold() for each in selected if isinstance(each, exp.Alias)}


def _outputs(scope: Scope) -> set[str]:
    """The columns that a query gives."""
    query = scope.expression
    names = query.named_selects if isinstance(query, exp.Query) else []
    return {name.casefold() for name in names}


def _columns(source: object, tables: Tables) -> set[str] | None:
    """The columns of a source in lower case; None where they cannot be known."""
    if isinstance(source, exp.Table):
        table: Table | None = tables.get(source.name)
        renamed = source.alias_column_names or source.args.get("pivots")
        if table is None or renamed:
            return None
        return {column.name.casefold() for column in table.columns}
    if isinstance(source, Scope) and isinstance(source.expression, exp.Query):
        return _columns_of_query(source, tables)
    return None


def _columns_of_query(source: Scope, tables: Tables) -> set[str] | None:
    query = source.expression
    assert isinstance(query, exp.Query)
    if query.is_star:
        inner = [_columns(each, tables) for each in source.sources.values()]
        if not inner or any(names is None for names in inner):
            return None
        stars = {name for names in inner if names for name in names}
        return stars | {name.casefold() for name in query.named_selects if name != "*"}
    parent = query.parent
    if isinstance(parent, (exp.CTE, exp.Subquery)) and parent.alias_column_names:
        return {name.casefold() for name in parent.alias_column_names}
    return {name.casefold() for name in query.named_selects}


def _once(faults: list[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))


def _unqualified(tree: exp.Expr, tables: Tables, dialect: str) -> list[Fault]:
    """What sqlglot cannot resolve: ambiguous names, and what the search above leaves."""
    if is_heavy(tree, tables):
        return []
    try:
        qualify(tree.copy(), dialect=dialect, schema=tables.types(), quote_identifiers=False)
    except SqlglotError as error:
        return [Fault(NAMES, _plain(error))]
    except RecursionError:
        return [Fault(NAMES, "it is nested too deeply")]
    return []


def is_heavy(tree: exp.Expr, tables: Tables) -> bool:
    """Whether to resolve every star of every level would take seconds."""
    found = [tables.get(table.name) for table in tree.find_all(exp.Table)]
    width = sum(len(table.columns) for table in found if table)
    levels = sum(1 for _ in tree.find_all(exp.Select))
    return width * levels > MOST_RESOLVED


def _plain(error: SqlglotError) -> str:
    return str(error).splitlines()[0].rstrip(".")[:300]
