"""A whole cluster for a test session, started as a person starts it: by `carillon up`.

It differs from the default in what tests need: three gateway replicas, so that what must hold
across replicas is seen to, leases short enough to wait for, a chat queue that can be filled, and
`echo-slow`, whose answers last as long as a test wants at no cost of computing, have a price, and
break when they are asked to.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import yaml

from cli.run_state import RunFile, RunState
from cli.short_paths import ShortPaths
from cli.stores import embedded
from core.settings import ROOT

START_S = 420.0
STOP_S = 60.0
LEASE_S = 8
CHAT_RUNNING = 24
GATEWAYS = 3
SLOW_ECHO = "tests.e2e.faulty_echo:SPEC"
SLOW_WORD_MS = 20.0
GATEWAY_TITLE = "ServeReplica:gateway"
REPLICA_PORTS = range(30_000, 31_001)


def _ports_of(pid: int) -> set[int]:
    """The port in Serve's range for replicas that a process listens on, if it does already."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return {
            connection.laddr.port
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port in REPLICA_PORTS
        }
    return set()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configuration(port: int, state: Path) -> dict[str, Any]:
    """`serve_config.yaml` as the tests run it. Writes the prices that it names into `state`."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    document["http_options"]["port"] = port
    gateway = document["applications"][0]
    jobs = next(a for a in document["applications"] if a["name"] == "jobs")
    gateway["args"] = jobs["args"] = {"lease_s": LEASE_S, "prices": str(priced(state))}
    ledger = next(a for a in document["applications"] if a["name"] == "ledger")
    ledger["args"] = {"lease_s": LEASE_S}
    gateway["deployments"][0] |= {
        "num_replicas": GATEWAYS,
        # Three, and every model awake, on two cores: what is reserved only places replicas.
        "ray_actor_options": {"num_cpus": 0.05},
    }
    chat = next(a for a in document["applications"] if a["name"] == "starter-chat")
    chat["deployments"][0] |= {"max_ongoing_requests": CHAT_RUNNING, "max_queued_requests": 8}
    document["applications"].append(slow_echo())
    card = {"id": "echo-slow", "spec": SLOW_ECHO}
    # One document for the gateway and the jobs: YAML's anchor made them share it.
    gateway["deployments"][0]["user_config"]["models"].append(card)
    return document


def priced(state: Path) -> Path:
    """The price book, where `echo-slow` costs something too."""
    book = yaml.safe_load((ROOT / "prices.yaml").read_text())
    book["models"]["echo-slow"] = {"input_tokens": 0.3, "output_tokens": 0.7}
    path = state / "prices.yaml"
    path.write_text(yaml.safe_dump(book))
    return path


def slow_echo() -> dict[str, Any]:
    """An application whose answers take 20 ms a word, and which breaks on one of them."""
    return {
        "name": "echo-slow",
        "route_prefix": None,
        "import_path": "graphs.model:build",
        "args": {
            "spec": SLOW_ECHO,
            "engine": {"model": "echo-slow", "word_ms": SLOW_WORD_MS},
        },
        "deployments": [
            {"name": "Echo", "num_replicas": 1, "ray_actor_options": {"num_cpus": 0.1}}
        ],
    }


@dataclass
class Cluster:
    """A running cluster, and where everything of it is."""

    state: Path
    config: Path
    port: int
    process: subprocess.Popen[bytes] | None
    run: RunState
    stores: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_key(self) -> str:
        return (self.state / "api-key").read_text().strip()

    @property
    def ray_address(self) -> str:
        return self.run.gcs_address

    @property
    def dashboard_url(self) -> str:
        return self.run.dashboard_url

    @property
    def token_file(self) -> Path:
        return self.state / "ray-token"

    @property
    def log(self) -> str:
        return (self.state / "up.log").read_text()

    def carillon(self, *words: str) -> str:
        """What a CLI command prints."""
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            env=os.environ | {"CARILLON_STATE": str(self.state)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    def pids(self, title: str) -> list[int]:
        """Processes of this cluster whose title contains `title`."""
        found = subprocess.run(["pgrep", "-f", title], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split() if self._owns(int(pid))]

    def kill(self, title: str) -> list[int]:
        """`kill -9` all of them."""
        victims = self.pids(title)
        assert victims, f"no process like {title!r}"
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        return victims

    def kill_store(self, role: str) -> None:
        """`kill -9` one of the embedded stores."""
        os.kill(self._store_pid(role), signal.SIGKILL)

    def processes(self, role: str) -> list[int]:
        """All processes of a part: an application, `model` (the slow echo), or a store."""
        title = {"model": "echo-slow"}.get(role, role)
        if role not in ("valkey", "postgres"):
            return self.pids(f"ServeReplica:{title}")
        server = psutil.Process(self._store_pid(role))
        return [server.pid, *(child.pid for child in server.children())]

    def kill_processes(self, role: str) -> None:
        """`kill -9` a part. PostgreSQL's children notice by themselves that their parent died."""
        pids = self.processes(role)
        assert pids, f"no process of {role}"
        for pid in pids[:1] if role == "postgres" else pids:
            os.kill(pid, signal.SIGKILL)

    @property
    def word_s(self) -> float:
        """How long a word of `echo-slow` takes."""
        return SLOW_WORD_MS / 1000

    def gateway_urls(self) -> list[str]:
        """Where each gateway replica listens, behind HAProxy."""
        ports = {port for pid in self.pids(GATEWAY_TITLE) for port in _ports_of(pid)}
        return [f"http://127.0.0.1:{port}" for port in sorted(ports)]

    def logs(self) -> list[Path]:
        """Every file that could hold a log line: the whole state directory but the stores' data."""
        skipped = {"api-key", "pepper", "ray-token"}
        return [
            path
            for path in self.state.rglob("*")
            if path.is_file()
            and path.name not in skipped
            and path.suffix in (".log", ".jsonl", ".out", ".err", ".txt", ".json")
        ]

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Rows of PostgreSQL, read as the operator."""
        connection = await asyncpg.connect(self.stores["DATABASE_URL"])
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    def _store_pid(self, role: str) -> int:
        run = RunFile(self.state).read()
        assert run is not None
        (store,) = [record for record in run.stores if record.role == role]
        return store.pid

    def _owns(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return self.run.run_id.encode() in environment


def freeze(pids: list[int]) -> None:
    """Stop processes: they keep what they have and answer nothing."""
    _signal(pids, signal.SIGSTOP)


def thaw(pids: list[int]) -> None:
    """Let stopped processes go on, if they still exist."""
    _signal(pids, signal.SIGCONT)


def _signal(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def start(configure: Callable[[int, Path], dict[str, Any]] = configuration) -> Cluster:
    """Start a cluster and wait until it greets. Raises with its output when it does not.

    Args:
        configure: makes its configuration, from the port and the state directory.
    """
    state = Path(tempfile.mkdtemp(prefix="carillon-e2e-", dir="/tmp"))
    state.chmod(0o755)
    port = free_port()
    config = state / "serve.yaml"
    config.write_text(yaml.safe_dump(configure(port, state), sort_keys=False))
    with (state / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", str(config)],
            env=os.environ | {"CARILLON_STATE": str(state), "CARILLON_PORT": str(port)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while "curl http" not in (output := (state / "up.log").read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            raise RuntimeError(f"the cluster did not start:\n{output}")
        time.sleep(0.5)
    return _opened(state, config, process)


def attach(state: Path) -> Cluster:
    """The cluster that runs in `state` already: for working on tests."""
    return _opened(state, ROOT / "serve_config.yaml", None)


def _opened(state: Path, config: Path, process: subprocess.Popen[bytes] | None) -> Cluster:
    run = RunFile(state).read()
    assert run is not None, f"nothing runs in {state}"
    stores = {name: store.url for name, store in embedded(state, ShortPaths(state))}
    return Cluster(state, config, int(run.base_url.rpartition(":")[2]), process, run, stores)


def stop(cluster: Cluster) -> None:
    """Ctrl-C, as a person would; a cluster that was attached to goes on."""
    if cluster.process is None:
        return
    cluster.process.send_signal(signal.SIGINT)
    try:
        cluster.process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        cluster.process.kill()
        raise
