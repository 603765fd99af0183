"""SQL text as statements, or the place where it stops being SQL.

Place in the path: the first check of every statement, a caller's or a model's. sqlglot forgives
some mistakes that databases do not; those are found here as well. It knows no tables.
"""

import logging
import re
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError, TokenError, UnsupportedError

from graphs.sql_assist.faults import Fault, at_offset

MAX_NODES = 20_000
"""Of a syntax tree: larger ones take seconds to check."""
MAX_DEPTH = 200
"""Of brackets within brackets, and of subscripts in a row: every later step is recursive."""
TWO_EQUALS = ("sqlite", "duckdb", "clickhouse", "spark", "databricks", "hive")
"""Dialects in which `==` is a comparison."""
AFTER_NO_COMMA = {
    TokenType.FROM,
    TokenType.WHERE,
    TokenType.GROUP_BY,
    TokenType.ORDER_BY,
    TokenType.R_PAREN,
    TokenType.COMMA,
    TokenType.SEMICOLON,
}
NO_STATEMENT = "no_statement"
SYNTAX = "syntax"
TERMINAL_CODES = re.compile(r"\x1b\[\d*m")
# It would log pieces of what callers sent.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


@dataclass(slots=True)
class Statements:
    """What a text holds.

    Args:
        text: as it came.
        trees: its statements; empty when there are faults.
    """

    text: str
    dialect: str
    trees: list[exp.Expr] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def sql(self, dialect: str | None = None, *, pretty: bool = False) -> str:
        """The statements as text, without comments: what was checked, and nothing else."""
        return ";\n".join(
            tree.sql(dialect or self.dialect, comments=False, pretty=pretty) for tree in self.trees
        )


def read(text: str, dialect: str) -> Statements:
    """The statements of `text`."""
    found = Statements(text, dialect)
    if fault := _too_deep(text):
        found.faults.append(fault)
        return found
    try:
        tokens = sqlglot.tokenize(text, dialect=dialect)
        if fault := too_chained(text, tokens):
            found.faults.append(fault)
            return found
        trees = sqlglot.parse(text, dialect=dialect, max_nodes=MAX_NODES)
        found.faults += _forgiven(text, tokens, dialect)
    except SqlglotError as error:
        found.faults.append(located(error, text))
        return found
    except RecursionError:
        found.faults.append(Fault(SYNTAX, "it is nested too deeply"))
        return found
    found.trees = [tree for tree in trees if tree and not isinstance(tree, exp.Semicolon)]
    if not all(isinstance(tree, STATEMENTS) for tree in found.trees) or not found.trees:
        found.trees = []
        found.faults.append(Fault(NO_STATEMENT, "this is not a statement of SQL"))
    return found


STATEMENTS = (exp.Query, exp.DML, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable)
"""What is understood. The parser keeps the text of all else as a command that it does not read."""


def located(error: SqlglotError, text: str) -> Fault:
    """What the parser could not read, and where."""
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        near = first.get("highlight") or ""
        said = str(first.get("description") or "it cannot be read").rstrip(".")
        said = re.sub(r" for <class '[\w.]+\.(\w+)'>", r" of \1", said)
        message = f"{said}, near '{near[:60]}'" if near else said
        before = first.get("start_context")
        if before is not None and (line := first.get("line")):
            column = max(1, int(first.get("col") or 1) - len(near) + 1)
            return Fault(SYNTAX, message, int(line), column)
        return Fault(SYNTAX, message)
    if isinstance(error, TokenError):
        return at_offset(SYNTAX, "a quote, a comment or a bracket is not closed", text, _open(text))
    return Fault(SYNTAX, TERMINAL_CODES.sub("", str(error))[:200])


def translated(tree: exp.Expr, dialect: str) -> tuple[str, list[str]]:
    """A statement in another dialect, and what of it that dialect cannot say."""
    try:
        return tree.sql(dialect, comments=False, unsupported_level=ErrorLevel.RAISE), []
    except UnsupportedError as error:
        lost = [line.strip() for line in str(error).splitlines() if line.strip()]
        sql = tree.sql(dialect, comments=False, unsupported_level=ErrorLevel.IGNORE)
        return sql, [f"not the same in {dialect}: {each}" for each in lost]


def _too_deep(text: str) -> Fault | None:
    depth = 0
    for offset, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth > MAX_DEPTH:
            return at_offset(SYNTAX, f"more than {MAX_DEPTH} open brackets", text, offset)
    return None


def too_chained(text: str, tokens: list[Token]) -> Fault | None:
    """Subscripts of subscripts, whose reading takes the square of their number."""
    chained = 0
    for token, following in pairwise(tokens):
        is_link = token.token_type is TokenType.R_BRACKET
        chained += is_link and following.token_type is TokenType.L_BRACKET
        if chained > MAX_DEPTH:
            return at_offset(SYNTAX, f"more than {MAX_DEPTH} subscripts", text, following.start)
    return None


def _open(text: str) -> int:
    """Where the last quote begins that nothing closes; the end when none does."""
    for quote in ("'", '"', "`"):
        if text.count(quote) % 2:
            return text.rfind(quote)
    return len(text)


def _forgiven(text: str, tokens: list[Token], dialect: str) -> list[Fault]:
    """Mistakes that the parser reads over, and databases do not."""
    faults = []
    for token, following in zip_longest(tokens, tokens[1:]):
        if token.token_type is TokenType.COMMA and (
            following is None or following.token_type in AFTER_NO_COMMA
        ):
            faults.append(at_offset(SYNTAX, "a comma with nothing behind it", text, token.start))
        doubled = token.token_type is TokenType.EQ and text[token.start : token.end + 1] == "=="
        if doubled and dialect not in TWO_EQUALS:
            faults.append(at_offset(SYNTAX, "'==' is written '=' in SQL", text, token.start))
    return faults
