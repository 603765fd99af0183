"""Failures: the log line of a call that failed in its replica says which call it was.

Place in the path: step 4, in a model's replica, and in the processes that such an error reaches.
Serve logs what a replica raises, once, with the traceback and the caller's `x-request-id`, which
need not be unique. Here that line gets the ledger's id, as other lines have it, and loses what the
exceptions say: they may quote what a caller sent. It logs nothing itself, and callers are told the
same as before.
"""

import logging
import traceback
from collections.abc import Iterator
from typing import TypeVar

FIELD = "carillon_request_id"
E = TypeVar("E", bound=Exception)


def named(error: E, request_id: str) -> E:
    """The same error, which knows the call that it ended, here and across processes.

    Calls that share a batch may share its error: each names it before Serve logs it.
    """
    error.__dict__[FIELD] = request_id
    return error


def call_of(error: BaseException | None) -> dict[str, str]:
    """The field of a log record that names the call; empty of an error that no call named."""
    name = getattr(error, FIELD, None)
    return {} if name is None else {FIELD: name}


def name_failures() -> None:
    """Have this process log failures of calls with their ids and without texts."""
    logging.getLogger("ray.serve").addFilter(_LINES)


class _Lines(logging.Filter):
    """Changes the records of `named` errors; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and (name := call_of(error)):
            record.__dict__ |= name
            record.exc_text = "".join(_without_texts(error, set()))  # taken by formatters as it is
        return True


_LINES = _Lines()


def _without_texts(error: BaseException, told: set[int]) -> Iterator[str]:
    """Where an error was raised, and its type, after those that it came from."""
    told.add(id(error))
    for source in _sources(error):
        if id(source) not in told:
            yield from _without_texts(source, told)
            yield "\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}\n"


def _sources(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        yield from error.exceptions
    if error.__cause__ is not None:
        yield error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield error.__context__
