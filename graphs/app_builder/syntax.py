"""Whether files are what their names say: every file parsed by the grammar of its language.

Place in the path: inside the app builder, after `tree`. It tells the place of each fault, so that
whoever wrote the file can mend it. It does not judge what the code does; `review` does.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from core.apps import Dialect
from graphs.app_builder.faults import Fault
from graphs.app_builder.grammars import TooLongError, parsed
from graphs.app_builder.sources import Part, parts_of, walk

if TYPE_CHECKING:
    from tree_sitter import Node

MOST_FAULTS = 5
"""Of one file: one mistake is often several faults."""
SQLGLOT: dict[Dialect, str] = {"postgresql": "postgres", "sqlite": "sqlite", "mysql": "mysql"}
SHOWN = 40
TOO_DEEP = "it is nested too deeply"


def syntax_faults(files: Mapping[str, str], dialect: Dialect = "postgresql") -> list[Fault]:
    """The faults of every file, with their places; none when all of them parse."""
    return [fault for path, text in files.items() for fault in file_faults(path, text, dialect)]


def file_faults(path: str, text: str, dialect: Dialect = "postgresql") -> list[Fault]:
    """The faults of one file, by the language that its name ends in; other files have none."""
    check: Callable[[str, str], Iterator[Fault]] = _grammar_faults
    if path.endswith(".json"):
        check = _json_faults
    elif path.endswith(".sql"):
        return _sql_faults(path, text, dialect)[:MOST_FAULTS]
    try:
        return list(islice(check(path, text), MOST_FAULTS))
    except TooLongError:
        return [Fault(path, TOO_DEEP)]


def _grammar_faults(path: str, text: str) -> Iterator[Fault]:
    for part in parts_of(path, text):
        yield from part_faults(path, part)


def part_faults(path: str, part: Part) -> Iterator[Fault]:
    """Faults of one part, the outermost of each place."""
    root = parsed(part.grammar, part.source).root_node
    if not root.has_error:
        return
    for node in walk(root):
        if node.is_missing:
            yield _fault(path, part, node, f"'{node.type}' is missing")
        elif node.is_error:
            yield _fault(path, part, node, _unexpected(part, node))


def _unexpected(part: Part, node: "Node") -> str:
    """What is there, and as far as which line: the mistake is often at its end."""
    start = part.source[node.start_byte : min(node.end_byte, node.start_byte + 4 * SHOWN)]
    shown = start.decode("utf-8", "replace").strip().partition("\n")[0][:SHOWN]
    last = part.row + node.end_point.row + 1
    further = f" and on to line {last}" if node.end_point.row > node.start_point.row else ""
    return f"unexpected '{shown}'{further}"


def _fault(path: str, part: Part, node: "Node", message: str) -> Fault:
    line, column = part.place(node)
    return Fault(path, message, line, column)


def _json_faults(path: str, text: str) -> Iterator[Fault]:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        yield Fault(path, error.msg, error.lineno, error.colno)
    except RecursionError:
        yield Fault(path, TOO_DEEP)


def _sql_faults(path: str, text: str, dialect: Dialect) -> list[Fault]:
    import sqlglot
    from sqlglot.errors import ErrorLevel, ParseError, TokenError

    from graphs.sql_assist.statement import too_chained

    try:
        if too_chained(text, sqlglot.tokenize(text, dialect=SQLGLOT[dialect])):
            return [Fault(path, TOO_DEEP)]
        statements = sqlglot.parse(text, dialect=SQLGLOT[dialect], error_level=ErrorLevel.RAISE)
    except ParseError as error:
        return [
            Fault(path, str(each["description"]), int(each["line"] or 0), int(each["col"] or 0))
            for each in error.errors
        ]
    except TokenError as error:
        return [Fault(path, str(error).partition("\n")[0][:200])]
    except RecursionError:
        return [Fault(path, TOO_DEEP)]
    if not any(statements):
        return [Fault(path, "there is no statement")]
    unknown = [s for s in statements if isinstance(s, sqlglot.exp.Command)]
    return [Fault(path, f"not understood: {str(s.sql())[:SHOWN]}") for s in unknown]
