"""The access log: one JSON line for each request, written many at a time.

Place in the path: told by telemetry after step 5. A line through a logger with Serve's filters
and formatter costs more than admission and settlement together; here a line is one `orjson.dumps`
and a whole flush is one log record, rotated by the standard library's handler.
"""

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import orjson

MAX_FILE_BYTES = 64 * 2**20
KEPT_FILES = 5


class _PrivateFileHandler(RotatingFileHandler):
    """Rotates files that their owner alone can read."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding)


class AccessLog:
    """Lines gather in memory until `flush`.

    Args:
        directory: where `access-<pid>.jsonl` is; made when missing. Files are their owner's alone.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = _PrivateFileHandler(
            directory / f"access-{os.getpid()}.jsonl",
            maxBytes=MAX_FILE_BYTES,
            backupCount=KEPT_FILES,
            encoding="utf-8",
        )
        handler.terminator = ""
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._handler = handler
        self._lines: list[bytes] = []

    def write(self, line: dict[str, Any]) -> None:
        """Add one line."""
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        """Write what has gathered."""
        if not self._lines:
            return
        text = b"".join(self._lines).decode()
        self._lines.clear()
        self._handler.emit(logging.LogRecord("access", logging.INFO, __file__, 0, text, None, None))
