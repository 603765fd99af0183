"""Improvements of a query that do not change its rows.

Place in the path: the action `optimize`. sqlglot's rules simplify conditions, move them into
subqueries, merge subqueries, and drop joins and WITH parts that nothing uses. Where the rewriting
changes more than conditions it is offered only if both queries gave the same rows in trials. It
asks no model.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.eliminate_ctes import eliminate_ctes
from sqlglot.optimizer.eliminate_joins import eliminate_joins
from sqlglot.optimizer.merge_subqueries import merge_subqueries
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.simplify import simplify

from graphs.sql_assist.names import is_heavy
from graphs.sql_assist.tables import Tables
from graphs.sql_assist.trial import same_rows

MOST_NODES = 3_000
"""Of a statement that is rewritten: rules take time in the square of it."""
RULES: tuple[tuple[str, Callable[[exp.Expr], exp.Expr]], ...] = (
    ("conditions are simpler", simplify),
    ("conditions are checked before rows are joined or grouped", pushdown_predicates),
    ("subqueries are merged into the query", merge_subqueries),
    ("joins that change nothing are gone", eliminate_joins),
    ("WITH parts that nothing reads are gone", eliminate_ctes),
    ("conditions are simpler", simplify),
)


@dataclass(slots=True)
class Improved:
    """A query, and what was done to it."""

    tree: exp.Expr
    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def improve(tree: exp.Expr, dialect: str, tables: Tables) -> Improved:
    """The query, better if the rules find something."""
    if not isinstance(tree, exp.Query):
        return Improved(tree, warnings=["only queries are rewritten"])
    if _size(tree) > MOST_NODES or is_heavy(tree, tables):
        return Improved(tree, warnings=["the query is too large to be rewritten"])
    if tables:
        try:
            if better := _rewritten(tree, dialect, tables):
                return better
        except (SqlglotError, RecursionError, KeyError, ValueError) as error:
            return Improved(tree, warnings=[f"it was not rewritten: {str(error)[:100]}"])
    simpler = simplify(tree.copy(), dialect=dialect)
    is_wrong = bool(tables) and same_rows(tree, simpler, tables) is False
    if _size(simpler) < _size(tree) and not is_wrong:
        return Improved(simpler, [RULES[0][0]])
    return Improved(tree)


def _rewritten(tree: exp.Expr, dialect: str, tables: Tables) -> Improved | None:
    """The query after all rules, if they changed more than its conditions."""
    if tree.find(exp.Anonymous, exp.Rand, exp.Uuid):
        return None  # how often such a function is called may matter
    better = qualify(
        tree.copy(),
        dialect=dialect,
        schema=tables.types(),
        quote_identifiers=False,
    )
    done: list[str] = []
    for words, rule in RULES:
        before = better.copy()
        better = rule(better)
        if _differ(before, better) and (rule is not simplify or _size(better) < _size(before)):
            done.append(words)
    done = list(dict.fromkeys(done))
    if not set(done) - {RULES[0][0]} or not same_rows(tree, better, tables):
        return None
    return Improved(_readable(better), done)


def _size(tree: exp.Expr) -> int:
    return sum(1 for _ in tree.walk())


def _differ(one: exp.Expr, other: exp.Expr) -> bool:
    return one.sql(comments=False) != other.sql(comments=False)


def _readable(tree: exp.Expr) -> exp.Expr:
    """Without the aliases that say nothing: `users.id AS id`, `users AS users`."""
    for alias in list(tree.find_all(exp.Alias)):
        if isinstance(alias.this, exp.Column) and alias.this.name == alias.alias:
            alias.replace(alias.this)
    for table in tree.find_all(exp.Table):
        if table.alias and table.alias == table.name and not table.alias_column_names:
            table.set("alias", None)
    for select in list(tree.find_all(exp.Select)):
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        is_alone = len([s for s in sources if s is not None]) == 1 and not select.find_ancestor(
            exp.Select
        )
        if is_alone and len(list(tree.find_all(exp.Select))) == 1:
            for column in select.find_all(exp.Column):
                column.set("table", None)
    return tree
