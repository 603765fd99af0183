"""The life of `make serve`: started, ended by Ctrl-C, started again, killed, swept up.

Runs of its own, one after the other, on one state directory.
"""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import httpx
import psutil
import pytest

from cli.processes import MARK, find, marked
from cli.run_state import RunFile
from cli.short_paths import ShortPaths
from core.settings import ROOT, child_environment
from tests.e2e.cluster import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine"),
]
Bystander: TypeAlias = "subprocess.Popen[bytes]"
START_S = 420.0
STOP_S = 120.0
LEDGER_S = 60.0
SETTLE_S = 5.0
READY = "Ctrl-C or make stop ends it."
PRINTED_CURL = re.compile(r"^  curl .*?(?=\n\n)", re.DOTALL | re.MULTILINE)
SIMILAR_NAMES = ("carillon up", "raylet", "ray::ServeReplica:gateway:Gateway", "valkey-server")
QUESTION = {
    "model": "starter-chat",
    "messages": [{"role": "user", "content": "How many users are there?"}],
}


class Served:
    """A `make serve` in the foreground of a terminal of its own."""

    def __init__(self, state: Path, port: int) -> None:
        self.state = state
        self.base_url = f"http://127.0.0.1:{port}"
        self.environment = child_environment(
            {
                "CARILLON_STATE": str(state),
                "CARILLON_PORT": str(port),
                "CARILLON_CONFIG": "serve_config.yaml",
                "PYTHONPATH": str(ROOT),
            }
        )
        self.log = state / "serve.log"

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.ctrl_c()
        self.make("stop")

    @property
    def output(self) -> str:
        return self.log.read_text()

    def says(self, words: str) -> None:
        """Wait for `words`."""
        deadline = time.monotonic() + START_S
        while words not in self.output:
            assert self.process.poll() is None or words in self.output, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.2)

    def ctrl_c(self, times: int = 1) -> None:
        """What a terminal does: SIGINT to everything in the foreground."""
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
            self.says("stopping")
        self.process.wait(STOP_S)

    def make(self, target: str) -> str:
        """What `make` says from another terminal."""
        return subprocess.run(
            ["make", "--no-print-directory", target],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STOP_S,
            check=True,
        ).stdout

    def pasted(self) -> dict[str, Any]:
        """The answer to the `curl` that was printed, in a shell and a directory of its own."""
        printed = PRINTED_CURL.search(self.output)
        assert printed, self.output
        done = subprocess.run(
            ["bash", "-c", printed.group()],
            cwd="/",
            capture_output=True,
            timeout=60,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def http(self) -> httpx.Client:
        key = (self.state / "api-key").read_text()
        return httpx.Client(
            base_url=self.base_url, headers={"authorization": f"Bearer {key}"}, timeout=60
        )

    def usage(self, requests: int) -> dict[str, Any]:
        """The totals, once the ledger holds that many rows; the last ones when it never does."""
        deadline = time.monotonic() + LEDGER_S
        with self.http() as client:
            while True:
                totals: dict[str, Any] = client.get("/v1/usage").json()["totals"]
                if totals["requests"] >= requests or time.monotonic() > deadline:
                    return totals
                time.sleep(0.2)

    def records(self) -> dict[str, dict[str, str]]:
        """Every row of the ledger, by its request."""
        with self.http() as client:
            lines = client.get("/v1/usage/records.csv").text.splitlines()
        return {row["request_id"]: row for row in csv.DictReader(lines)}


@dataclass
class Traces:
    """What one run had: its processes, and the ports that they listened on."""

    state: Path
    run_id: str
    processes: list[psutil.Process]
    ports: set[int]

    @classmethod
    def of(cls, served: Served) -> Self:
        run = RunFile(served.state).running()
        assert run is not None
        roots = [psutil.Process(served.process.pid), *filter(None, map(find, run.stores))]
        found = {process.pid: process for process in (*marked(run.run_id), *roots)}
        for root in list(found.values()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {child.pid: child for child in root.children(recursive=True)}
        ports = _ports(each for process in found.values() for each in _connections(process))
        return cls(served.state, run.run_id, list(found.values()), ports)

    def running(self) -> list[psutil.Process]:
        return [process for process in self.processes if _runs(process)]

    def left(self) -> list[str]:
        """What is left of it. What was killed goes within moments, so it is looked at again."""
        deadline = time.monotonic() + SETTLE_S
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _left(self) -> list[str]:
        processes = {p.pid: p for p in (*self.running(), *marked(self.run_id), *_of(self.state))}
        short = ShortPaths(self.state).directory
        return [
            *(f"process {process}" for process in processes.values()),
            *(f"port {port}" for port in self.ports & _ports(psutil.net_connections("tcp"))),
            *([f"directory {short}"] if short.exists() else []),
            *(["the run's file"] if RunFile(self.state).read() else []),
        ]


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _of(state: Path) -> Iterator[psutil.Process]:
    """Every process that was told of this state directory, whoever started it."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            if process.environ().get("CARILLON_STATE") == str(state):
                yield process


def _connections(process: psutil.Process) -> list[Any]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return list(process.net_connections("tcp"))
    return []


def _ports(connections: Iterable[Any]) -> set[int]:
    """Those that are listened on."""
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}


@pytest.fixture
def bystanders() -> Iterator[list[Bystander]]:
    """Processes that look like a run's and are none's, or another installation's."""
    started = [
        subprocess.Popen(
            [name, "1000"],
            executable=shutil.which("sleep"),
            env=child_environment({MARK: "another-run"}),
        )
        for name in SIMILAR_NAMES
    ]
    yield started
    for each in started:
        each.kill()
        each.wait()


@pytest.fixture
def state() -> Iterator[Path]:
    """Not pytest's own directory: PostgreSQL's account could not enter that under root."""
    directory = Path(tempfile.mkdtemp(prefix="carillon-life-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def verdict(client: httpx.Client) -> tuple[str, dict[str, Any]]:
    """Whether the question was answered from the cache, and the answer."""
    answer = client.post("/v1/chat/completions", json=QUESTION)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-cache"], answer.json()


def test_an_installation_lives_through_ctrl_c_a_second_start_and_a_kill(state, bystanders):
    port = free_port()
    with Served(state, port) as first:
        first.says(READY)
        assert "SELECT" in first.pasted()["choices"][0]["message"]["content"]
        key = (state / "api-key").read_text()
        with first.http() as client:
            missed, answer = verdict(client)
            assert missed == "MISS"
            used = first.usage(requests=2)
            rows = first.records()
            assert verdict(client) == ("HIT", answer)  # and its row may still be on its way
        traces = Traces.of(first)
        assert port in traces.ports
        first.ctrl_c()
        assert "Traceback" not in first.output
    assert traces.left() == []
    assert all(each.poll() is None for each in bystanders)

    with Served(state, port) as second:
        second.says(READY)
        assert "==>" not in second.output, "something was installed again"
        assert "killed" not in second.output, "there was something to sweep"
        assert (state / "api-key").read_text() == key
        totals = second.usage(requests=3)
        assert totals["requests"] == 3
        assert totals["output_tokens"] == used["output_tokens"] > 0
        assert rows.items() <= second.records().items()
        with second.http() as client:
            assert verdict(client) == ("HIT", answer)
        traces = Traces.of(second)
        run = RunFile(state).running()
        assert run is not None
        os.kill(run.up.pid, signal.SIGKILL)
        second.process.wait(STOP_S)
        assert len(traces.running()) > 10, "the rest goes on"
        assert "processes that a killed run had left" in second.make("stop")
        assert traces.left() == []
        assert "not running" in second.make("stop")
    assert all(each.poll() is None for each in bystanders)


@pytest.mark.parametrize(
    ("moment", "times"), [("PostgreSQL and Valkey answer", 1), ("Ray runs", 2)]
)
def test_ctrl_c_while_it_starts_leaves_nothing(state, bystanders, moment, times):
    with Served(state, free_port()) as served:
        served.says(moment)
        traces = Traces.of(served)
        served.ctrl_c(times)
        assert "Traceback" not in served.output
    assert traces.left() == []
    assert all(each.poll() is None for each in bystanders)
