"""What a running cluster is: one file that says what `up` started, and the lock that it holds.

Place: written by `up`, read by every other command. It holds no secret.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cli.failure import Failure
from cli.processes import ProcessRecord, find
from cli.secrets_files import write_secret


class RunState(BaseModel):
    """One run of `carillon up`."""

    run_id: str
    """Mark in the environment of every process of the run."""
    up: ProcessRecord
    base_url: str
    dashboard_url: str
    gcs_address: str
    stores: list[ProcessRecord] = []

    @property
    def port(self) -> int:
        """The HTTP port, which may have been chosen for this run alone."""
        return int(self.base_url.rpartition(":")[2])


class RunFile:
    """The run state on disk.

    Args:
        state: the state directory.
    """

    def __init__(self, state: Path) -> None:
        self.directory = state / "run"
        self.path = self.directory / "up.json"

    def read(self) -> RunState | None:
        """The last run that was not stopped in order, running or not."""
        try:
            return RunState.model_validate_json(self.path.read_text())
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, run: RunState) -> None:
        write_secret(self.path, run.model_dump_json(indent=2))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the installation. Raises Failure when another `up` does.

        The kernel releases the lock with the process, however it ends.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Failure(self._already()) from error
            yield

    def running(self) -> RunState | None:
        """The run whose `up` is alive."""
        run = self.read()
        return run if run is not None and find(run.up) is not None else None

    def _already(self) -> str:
        run = self.running()
        where = f" at {run.base_url} (pid {run.up.pid})" if run else ""
        return f"Carillon is already running{where}. Stop it with: make stop"
