"""The Carillon cluster under test: one of our own, or one that runs already.

Our own is started by the CLI as any operator would, from the configuration in this checkout, with
a fresh state directory. One thing differs: the operator's plan has every window a plan can have,
all of them held for each request, and none of them ever full.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import yaml

from benchmarks.load import LoadFailed, fire
from benchmarks.peers import Server
from benchmarks.processes import Child, ChildFailed, cpu_seconds, free_port
from benchmarks.shots import chats, questions
from cli.accounts import API_KEY
from cli.processes import find, marked
from cli.run_state import RunFile, RunState
from cli.serve_api import ServeApi
from core.settings import ROOT

CONFIG = ROOT / "serve_config.yaml"
CHAT_MODEL = "starter-chat"
START_TIMEOUT_S = 300.0
STOP_WAIT_S = 60.0
NEVER_FULL = 1_000_000_000_000
PLANS = {
    "plans": {
        "enterprise": {
            meter: {"minute": NEVER_FULL, "hour": NEVER_FULL, "day": NEVER_FULL}
            for meter in ("requests", "tokens")
        },
        "free": {"requests": {"day": 100}},
    }
}


@dataclass(frozen=True, slots=True)
class Cluster(Server):
    """A running cluster.

    Args:
        state: its state directory.
        first_token_s: from the start of `carillon up` to the first content of the first answer of
            the language model; None when somebody else started it.
    """

    state: Path = ROOT
    first_token_s: float | None = None

    @property
    def run(self) -> RunState:
        """What `up` wrote about it. Raises ChildFailed when it no longer runs."""
        run = RunFile(self.state).running()
        if run is None:
            raise ChildFailed(f"no cluster runs with the state directory {self.state}")
        return run

    def family(self) -> list[psutil.Process]:
        """Every process of it: `up`, the stores, Ray and what they started."""
        run = self.run
        roots = [process for known in (run.up, *run.stores) if (process := find(known))]
        found = {process.pid: process for process in (*marked(run.run_id), *roots)}
        for root in roots:
            found |= {child.pid: child for child in root.children(recursive=True)}
        return list(found.values())

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.family())


@contextmanager
def own_cluster(scratch: Path) -> Iterator[Cluster]:
    """Start a cluster, wait for its first token and until all of it runs, stop it afterwards."""
    state, port = scratch / "state", free_port()
    command = [sys.executable, "-m", "cli.main", "up", str(_config(scratch)), "--port", str(port)]
    environment = {"CARILLON_STATE": str(state), "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with Child(command, scratch / "up.log", environment) as child:
        try:
            key = _first_answer(child, state / API_KEY, port)
            first_token_s = time.perf_counter() - started
            cluster = Cluster(port, key, state=state, first_token_s=first_token_s)
            _await_the_rest(child, cluster)
            yield cluster
        finally:
            child.stop(STOP_WAIT_S)


def running_cluster(url: str, key_file: Path) -> Cluster:
    """The cluster that answers at `url`; `key_file` lies in its state directory."""
    port = urlsplit(url).port or 80
    return Cluster(port, key_file.read_text().strip(), state=key_file.absolute().parent)


def model_application(model: str) -> dict[str, Any]:
    """A model's application, as `serve_config.yaml` deploys it. Raises LoadFailed."""
    found: dict[str, Any]
    for found in yaml.safe_load(CONFIG.read_text())["applications"]:
        if found["name"] == model:
            return found
    raise LoadFailed(f"{CONFIG.name} has no '{model}'")


def replica_environment(model: str) -> dict[str, str]:
    """The environment variables that its replicas are given."""
    given: dict[str, str] = model_application(model).get("runtime_env", {}).get("env_vars", {})
    return given


GOVERNED = ("gateway", "jobs")
"""Applications that hold plans' windows."""


def _config(scratch: Path) -> Path:
    plans, config = scratch / "plans.yaml", scratch / "serve_config.yaml"
    plans.write_text(json.dumps(PLANS))
    document = yaml.safe_load(CONFIG.read_text())
    for entry in document["applications"]:
        if entry["name"] in GOVERNED:
            entry["args"] = (entry.get("args") or {}) | {"plans": str(plans)}
    config.write_text(json.dumps(document))
    return config


def _await_the_rest(child: Child, cluster: Cluster) -> None:
    """Until every application runs: what still starts would be measured with the rest."""
    api = ServeApi(cluster.run.dashboard_url, cluster.state / "ray-token")
    deadline = time.monotonic() + START_TIMEOUT_S
    names = {each["name"] for each in yaml.safe_load(CONFIG.read_text())["applications"]}
    while not names <= _running(api):
        if time.monotonic() > deadline:
            raise ChildFailed(f"not everything runs:\n{child.log_tail()}")
        time.sleep(1)


def _running(api: ServeApi) -> set[str]:
    applications = api.details()["applications"]
    return {name for name, each in applications.items() if each["status"] == "RUNNING"}


def _first_answer(child: Child, key_file: Path, port: int) -> str:
    """The API key, once the language model has answered a request that carries it."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            key = key_file.read_text().strip()
            fire(port, [iter(chats(key, CHAT_MODEL, [next(questions())], 8))], timeout_s=60)
        except (OSError, LoadFailed) as error:
            if child.process.poll() is not None or time.monotonic() > deadline:
                raise ChildFailed(f"no first answer ({error}):\n{child.log_tail()}") from error
            time.sleep(0.1)
        else:
            return key
