"""Reviews of code: findings with file, line and severity, by rules over syntax trees.

Place in the path: inside the app builder. Nothing that is reviewed is imported or run. What a chat
model says of the code comes from elsewhere (`graphs.app_builder.author`).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

from graphs.app_builder.grammars import TooLongError, parsed
from graphs.app_builder.review import javascript, markup, python, sql
from graphs.app_builder.review.findings import ORDER, Finding, Severity
from graphs.app_builder.review.secrets import secrets
from graphs.app_builder.review.unused import unused_names
from graphs.app_builder.sources import Part, parts_of
from graphs.app_builder.syntax import file_faults

MOST_FINDINGS = 500
LONGEST_S = 20.0
"""Real code takes a tenth of a second."""
SCRIPTS = ("javascript", "typescript", "tsx")
KNOWN_ENDS = {*("js", "jsx", "mjs", "cjs", "ts", "tsx", "vue", "html", "css", "json", "sql", "py")}

__all__ = ["MOST_FINDINGS", "ORDER", "Finding", "Severity", "is_known", "review"]


def review(files: Mapping[str, str]) -> list[Finding]:
    """Findings of all files, the worst first; at most `MOST_FINDINGS` and one."""
    every = _in_time(files, time.monotonic() + LONGEST_S)
    return sorted(islice(every, MOST_FINDINGS + 1), key=lambda finding: finding.rank)


def _in_time(files: Mapping[str, str], deadline: float) -> Iterator[Finding]:
    """Findings of the files that there is time for; of the others, that there was none."""
    for path, text in files.items():
        if time.monotonic() < deadline:
            yield from _of_file(path, text)
        else:
            message = "the time of one review was spent before this file"
            yield Finding("not-reviewed", Severity.INFO, path, 0, 0, message)


def is_known(path: str) -> bool:
    """Whether there are rules for the language of a file, besides those about secrets."""
    return path.rpartition(".")[2].lower() in KNOWN_ENDS


def _of_file(path: str, text: str) -> Iterator[Finding]:
    yield from secrets(path, text)
    if path.lower().endswith(".py"):
        yield from python.findings(path, text)
        return
    faults = file_faults(path, text)
    for fault in faults:
        yield Finding("syntax-error", Severity.HIGH, path, fault.line, fault.column, fault.message)
    if path.lower().endswith(".sql"):
        yield from sql.findings(path, text)
    with suppress(TooLongError):  # which is a fault already
        for part in parts_of(path, text):
            yield from _of_part(path, text, part, whole=not faults)


def _of_part(path: str, text: str, part: Part, *, whole: bool) -> Iterator[Finding]:
    root = parsed(part.grammar, part.source).root_node
    if part.grammar == "html":
        yield from markup.findings(path, part, root)
    elif part.grammar in SCRIPTS:
        yield from javascript.findings(path, part, root)
        if whole and not part.is_expression:
            inside = part.source.decode("utf-8", "replace")
            yield from unused_names(path, part, root, text.replace(inside, "", 1))
