"""What people see: lines with elapsed time, on a terminal or in a log.

Place: every command prints through this. Text is never taken as markup: it may hold anything.
"""

import sys
import time

from rich.console import Console

LOG_WIDTH = 160
"""Of tables in pipes and files; on a terminal it is the terminal's."""

OUT = Console(
    markup=False,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() else LOG_WIDTH,
)
ERR = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


class Steps:
    """Steps of a start or a stop, each with the seconds since the first."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, text: str, style: str | None = None) -> None:
        """One line, such as `  3.2 s  PostgreSQL and Valkey answer`."""
        OUT.print(f"{self.elapsed_s():6.1f} s  {text}", style=style)

    def elapsed_s(self) -> float:
        return time.monotonic() - self._began


def warn(text: str) -> None:
    """A line on standard error that does not end the command."""
    ERR.print(f"warning: {text}", style="yellow")
