"""The stores of a run: embedded ones, kept alive, or the operator's own servers.

Place: started first and stopped last by `up`. It knows nothing of what the stores contain.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from cli import processes
from cli.embedded import Child, EmbeddedStore, PostgreSQL, Valkey
from cli.processes import ProcessRecord
from cli.short_paths import ShortPaths
from core.settings import environment

EMBEDDED: dict[str, type[EmbeddedStore]] = {"DATABASE_URL": PostgreSQL, "REDIS_URL": Valkey}
"""The store that stands in for each variable that is unset."""


def embedded(state: Path, short: ShortPaths) -> Iterator[tuple[str, EmbeddedStore]]:
    """The embedded stores that this environment asks for, with their variables."""
    for variable, kind in EMBEDDED.items():
        if environment(variable) is None:
            yield variable, kind(state, short)


class Stores:
    """The store servers of one run.

    Args:
        state: the state directory.
        short: names for directories that are too deep for sockets.
        changed: called with the records of the running servers whenever they change.
    """

    def __init__(
        self, state: Path, short: ShortPaths, changed: Callable[[list[ProcessRecord]], None]
    ) -> None:
        self._embedded = dict(embedded(state, short))
        self._children: dict[str, Child] = {}
        self._changed = changed

    def start(self) -> dict[str, str]:
        """Start what is embedded; the URLs of all, by variable. Raises Failure."""
        for variable, store in self._embedded.items():
            self._launch(variable, store)
        return {
            variable: self._embedded[variable].url
            if variable in self._embedded
            else environment(variable, "") or ""
            for variable in EMBEDDED
        }

    def revive(self) -> list[str]:
        """Restart servers that ended by themselves; their names. Raises Failure."""
        dead = [v for v, child in self._children.items() if child.poll() is not None]
        for variable in dead:
            self._launch(variable, self._embedded[variable])
        return [self._embedded[variable].name for variable in dead]

    def stop(self, grace_s: float) -> None:
        """End the servers in order, so that nothing is lost."""
        for variable, child in self._children.items():
            if child.poll() is None:
                child.send_signal(self._embedded[variable].stop_signal)
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace_s)
            if child.poll() is None:
                child.kill()
                child.wait()

    def _launch(self, variable: str, store: EmbeddedStore) -> None:
        def launched(child: Child) -> None:
            self._children[variable] = child
            self._changed(self._records())

        store.start(launched)

    def _records(self) -> list[ProcessRecord]:
        """Of those that run. One that ends just now stays unreaped until it is asked for again."""
        return [
            processes.record(self._embedded[variable].name, child.pid)
            for variable, child in self._children.items()
            if child.poll() is None
        ]
