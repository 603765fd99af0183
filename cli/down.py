"""`carillon down`: end the run of this installation, from another terminal.

Place: `make stop`. See `cli/leftovers.py` for what is ended and how it is known.
"""

from pathlib import Path

from cli.leftovers import stop_running, sweep
from cli.run_state import RunFile
from cli.screen import OUT
from cli.short_paths import ShortPaths


def down(state: Path) -> None:
    """Stop the running `up` and wait; clean up after one that was killed."""
    file = RunFile(state)
    run = stop_running(file)
    with file.lock():
        count = sweep(file, ShortPaths(state))
    if count:
        OUT.print(f"Stopped {count} processes that a killed run had left.")
    else:
        OUT.print("Stopped." if run else "Carillon is not running.")
