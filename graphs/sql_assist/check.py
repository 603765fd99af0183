"""The check of a statement: syntax, names, rules, plan, in this order.

Place in the path: every SQL text of a call, a caller's and a model's, ends here. `valid` means: it
parses in its dialect, and with a schema every name is there and the plan was made. It does not say
that the statement answers the question.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from graphs.sql_assist import rules
from graphs.sql_assist.faults import Fault
from graphs.sql_assist.grouping import check_grouping
from graphs.sql_assist.names import check_names, doubtful_names
from graphs.sql_assist.planner import Plan, plan
from graphs.sql_assist.reading import besides_reading
from graphs.sql_assist.statement import SYNTAX, Statements, read
from graphs.sql_assist.tables import Tables

SEVERAL = "several_statements"
FREE_GROUPING = ("sqlite",)
"""Dialects that show any row's value of what is not grouped."""


@dataclass(slots=True)
class Checked:
    """A text, and what was found."""

    statements: Statements
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    doubts: list[Fault] = field(default_factory=list)
    """What a database would take, and nobody can mean; warnings tell them, too."""
    plan: Plan = field(default_factory=Plan)

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults

    @property
    def tree(self) -> exp.Expr:
        """Its first statement; only where there is one."""
        return self.statements.trees[0]


def check(
    text: str, dialect: str, tables: Tables, *, writes: bool = True, several: bool = False
) -> Checked:
    """Check `text`.

    Args:
        writes: whether it may change data.
        several: whether it may be more than one statement.
    """
    statements = read(text, dialect)
    checked = Checked(statements, list(statements.faults))
    if len(statements.trees) > 1 and not several:
        count = len(statements.trees)
        checked.faults.append(Fault(SEVERAL, f"one statement at a time, please: these are {count}"))
    try:
        for tree in statements.trees:
            if not writes:
                checked.faults += besides_reading(tree, text, dialect)
            _check_tree(tree, checked, tables)
        if checked.valid and tables and len(statements.trees) == 1:
            _check_plan(checked, tables)
    except RecursionError:
        statements.trees.clear()
        checked.faults.append(Fault(SYNTAX, "it is nested too deeply"))
    return checked


def _check_tree(tree: exp.Expr, checked: Checked, tables: Tables) -> None:
    text, dialect = checked.statements.text, checked.statements.dialect
    misspelt = list(rules.check_functions(tree, text))
    checked.faults += misspelt
    if not misspelt:
        checked.warnings += rules.unknown_functions(tree)
    unknown = check_names(tree, text, tables, dialect) if tables else []
    checked.faults += unknown
    checked.doubts += doubtful_names(tree, text, tables)
    checked.warnings += map(str, checked.doubts)
    if not unknown:
        for place, message in _loose(tree, text, tables, dialect):
            if isinstance(place, Fault):
                checked.faults.append(place)
            else:
                checked.warnings.append(message)


def _loose(
    tree: exp.Expr, text: str, tables: Tables, dialect: str
) -> Iterator[tuple[Fault | None, str]]:
    """What is a fault in one dialect and a warning in another."""
    for fault in check_grouping(tree, text, tables):
        yield (None if dialect in FREE_GROUPING else fault), str(fault)
    for is_of_types, message in rules.check_values(tree, tables):
        is_fault = is_of_types and dialect not in rules.LENIENT
        yield (Fault(rules.WRONG_TYPE, message) if is_fault else None), message


def _check_plan(checked: Checked, tables: Tables) -> None:
    checked.plan = plan(checked.tree, tables)
    if checked.plan.fault:
        checked.faults.append(checked.plan.fault)
    elif checked.plan.unplanned:
        checked.warnings.append(f"without a plan: {checked.plan.unplanned}")
