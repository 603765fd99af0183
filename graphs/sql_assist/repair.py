"""Repairs that need no model: each mistake has a usual cure, and a cure counts only if it helps.

Place in the path: the action `fix`, before the model is asked. One mistake after the other is
looked at where the check found it; a changed text is kept when the check gets further with it.
What it cannot cure, it leaves.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from graphs.sql_assist.check import Checked, check
from graphs.sql_assist.faults import Fault, offset_of
from graphs.sql_assist.grouping import NOT_GROUPED
from graphs.sql_assist.names import UNKNOWN_COLUMN, UNKNOWN_TABLE
from graphs.sql_assist.rules import UNKNOWN_FUNCTION
from graphs.sql_assist.statement import NO_STATEMENT, SYNTAX, read, translated
from graphs.sql_assist.tables import Tables

ROUNDS = 6
MOST_TRIED = 40
"""Candidates of one round: a check takes milliseconds."""
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "DISTINCT",
    "INNER", "LEFT", "RIGHT", "JOIN", "BETWEEN", "INTERVAL", "UNION", "INSERT", "INTO", "VALUES",
    "UPDATE", "DELETE", "DESC", "EXISTS", "WITH", "CASE", "WHEN", "THEN", "ELSE", "LIKE",
)  # fmt: skip
OTHERS = ("mysql", "tsql", "postgres", "bigquery", "snowflake", "oracle", "sqlite", "spark")
WORD = re.compile(r"[A-Za-z_]\w*")
QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "})
FENCE = re.compile(r"^\s*```\w*\s*\n?(.*?)\n?```\s*$", re.DOTALL)
BY = re.compile(r"\b(ORDER|GROUP|PARTITION)\s+(?!BY\b)", re.IGNORECASE)
STAGES = {NO_STATEMENT: 0, SYNTAX: 1, UNKNOWN_TABLE: 2, UNKNOWN_COLUMN: 3}
"""Faults in the order in which a check meets them; all others come after these."""
Candidate = tuple[str, str]
"""A changed text, and what was changed."""


@dataclass(slots=True)
class Repaired:
    """The best text that was found."""

    checked: Checked
    done: list[str]


def repair(text: str, dialect: str, tables: Tables) -> Repaired:
    """`text` with its usual mistakes cured, as far as that goes."""
    plain = FENCE.sub(r"\1", text).translate(QUOTES)
    done = ["typographic quotes are plain"] if plain != text else []
    best = check(plain, dialect, tables)
    for _ in range(ROUNDS):
        if best.valid and not best.doubts:
            break
        found = _step(best, dialect, tables)
        if found is None:
            break
        best = found.checked
        done += found.done
    return Repaired(best, done)


def _step(checked: Checked, dialect: str, tables: Tables) -> Repaired | None:
    """The first candidate that is right, or the one that gets furthest."""
    text, fault = checked.statements.text, [*checked.doubts, *checked.faults][0]
    best, reached, tried = None, progress(checked), {text}
    for changed, words in _candidates(text, fault, dialect, tables):
        if changed in tried or len(tried) > MOST_TRIED:
            continue
        tried.add(changed)
        attempt = check(changed, dialect, tables)
        if progress(attempt) > reached:
            best, reached = Repaired(attempt, [words]), progress(attempt)
        if attempt.valid and not attempt.doubts:
            break
    return best


def progress(checked: Checked) -> tuple[int, int, int]:
    """How far a check came: the fault that stopped it, how few there are, how late it is."""
    if checked.valid:
        return len(STAGES), -len(checked.doubts), 0
    first = checked.faults[0]
    late = offset_of(first, checked.statements.text) or 0
    return STAGES.get(first.code, len(STAGES) - 1), -len(checked.faults), late


def _candidates(text: str, fault: Fault, dialect: str, tables: Tables) -> Iterator[Candidate]:
    offset = offset_of(fault, text)
    if fault.code in (UNKNOWN_TABLE, UNKNOWN_COLUMN, UNKNOWN_FUNCTION) and offset is not None:
        yield from _renamed(text, fault, offset)
    elif fault.code == NOT_GROUPED:
        yield from _grouped(text, fault, dialect)
    elif fault.code == SYNTAX:
        yield from _as_parsed(text, dialect)
        yield from _spelt(text, tables)
        yield from _completed(text, offset, tables)
        yield from _from_others(text, dialect)
    else:
        yield from _from_others(text, dialect)


def _renamed(text: str, fault: Fault, offset: int) -> Iterator[Candidate]:
    """The name that was meant; a text in double quotes."""
    word = WORD.match(text, offset)
    if fault.suggestion and word:
        changed = text[:offset] + fault.suggestion + text[word.end() :]
        yield changed, f"'{word.group()}' is '{fault.suggestion}'"
    if text[offset : offset + 1] in ('"', "`"):
        quote = text[offset]
        end = text.find(quote, offset + 1)
        if end > 0:
            inner = text[offset + 1 : end].replace("'", "''")
            changed = f"{text[:offset]}'{inner}'{text[end + 1 :]}"
            yield changed, f"{text[offset : end + 1]} is a text, in single quotes"


def _grouped(text: str, fault: Fault, dialect: str) -> Iterator[Candidate]:
    """What is shown beside aggregates is grouped by."""
    trees = read(text, dialect).trees
    for select in trees[0].find_all(exp.Select) if trees else ():
        for column in select.find_all(exp.Column):
            if f"'{column.sql()}'" in fault.message and column.find_ancestor(exp.Select) is select:
                select.group_by(column.copy(), copy=False)
                yield trees[0].sql(dialect, comments=False), f"grouped by '{column.sql()}', too"
                return


def _as_parsed(text: str, dialect: str) -> Iterator[Candidate]:
    """What the parser forgives, written out."""
    try:
        tree = sqlglot.parse_one(text, dialect=dialect)
    except (SqlglotError, RecursionError):
        return
    yield tree.sql(dialect, comments=False), "commas and operators are written as SQL has them"


def _spelt(text: str, tables: Tables) -> Iterator[Candidate]:
    """Keywords that are misspelt; all of them at once first."""
    known = {table.name.upper() for table in tables}
    known |= {column.name.upper() for table in tables for column in table.columns}
    wrong = [
        (word, meant)
        for word in _words(text)
        if (meant := _keyword(word.group().upper())) and word.group().upper() not in known
    ]
    if len(wrong) > 1:
        changed = text
        for word, meant in reversed(wrong):
            changed = changed[: word.start()] + meant + changed[word.end() :]
        yield changed, ", ".join(f"'{word.group()}' is {meant}" for word, meant in wrong)
    for word, meant in wrong:
        changed = text[: word.start()] + meant + text[word.end() :]
        yield changed, f"'{word.group()}' is {meant}"


def _words(text: str) -> Iterator[re.Match[str]]:
    """Words outside single quotes."""
    for word in WORD.finditer(text):
        if text.count("'", 0, word.start()) % 2 == 0:
            yield word


def _keyword(word: str) -> str | None:
    if word in KEYWORDS or len(word) < 3:  # noqa: PLR2004 - "IN", "OR" and the like are no typos
        return None
    found = difflib.get_close_matches(word, KEYWORDS, 1, 0.74)
    return found[0] if found else None


def _completed(text: str, offset: int | None, tables: Tables) -> Iterator[Candidate]:
    """What is missing, or too much, put in or taken out."""
    if BY.search(text):
        yield BY.sub(r"\1 BY ", text), "BY was missing"
    yield from _brackets(text, offset)
    yield from _quotes(text)
    for table in tables:
        for word in re.finditer(rf"\b{re.escape(table.name)}\b", text, re.IGNORECASE):
            changed = f"{text[: word.start()]}FROM {text[word.start() :]}"
            yield changed, "FROM was missing"
    if offset is not None and 0 < offset < len(text):
        for words in (" AND ", " FROM ", ", "):
            changed = f"{text[:offset].rstrip()}{words}{text[offset:]}"
            yield changed, f"{words.strip()} was missing"


def _brackets(text: str, offset: int | None) -> Iterator[Candidate]:
    stem, tail = _stem(text)
    missing = text.count("(") - text.count(")")
    if missing > 0:
        for place in _places(text, offset):
            changed = text[:place].rstrip() + ")" * missing + " " + text[place:]
            yield changed.rstrip(), "a bracket was not closed"
        yield stem + ")" * missing + tail, "a bracket was not closed"
    if missing < 0 and offset is not None:
        place = text.find(")", max(0, offset - 1))
        if place >= 0:
            yield text[:place] + text[place + 1 :], "a bracket too many"


def _quotes(text: str) -> Iterator[Candidate]:
    if text.count("'") % 2 == 0:
        return
    stem, tail = _stem(text)
    yield stem + "'" + tail, "a quote was not closed"
    word = WORD.search(text, text.rfind("'") + 1)
    if word:
        yield f"{text[: word.end()]}'{text[word.end() :]}", "a quote was not closed"


def _stem(text: str) -> tuple[str, str]:
    """The text up to its last semicolon, and the rest."""
    stem = text.rstrip().rstrip(";").rstrip()
    return stem, text[len(stem) :]


def _places(text: str, offset: int | None) -> list[int]:
    """Where a bracket may be missing: before the fault, and before each keyword behind the last
    open one.
    """
    start = text.rfind("(")
    places = [word.start() for word in _words(text[start:]) if word.group().upper() in KEYWORDS]
    found = [place + start for place in places]
    return ([offset] if offset is not None else []) + found


def _from_others(text: str, dialect: str) -> Iterator[Candidate]:
    """The statement of another dialect, translated."""
    for other in OTHERS:
        if other == dialect:
            continue
        statements = read(text, other)
        if len(statements.trees) == 1 and not statements.faults:
            try:
                sql, lost = translated(statements.trees[0], dialect)
            except (SqlglotError, RecursionError):
                continue
            if not lost:
                yield sql, f"it was written for {other}"
