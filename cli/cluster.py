"""Reaching a running cluster: `deploy`, `plan`, `status` and `env` begin here.

Place: between the commands and `cli/serve_api.py`. It starts nothing. The cluster is the one that
`up` runs here; else the one that `RAY_DASHBOARD_ADDRESS` names, started by Ray's cluster launcher
or on Kubernetes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.failure import Failure
from cli.run_state import RunFile, RunState
from cli.serve_api import ServeApi
from core.settings import environment


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, and the local run behind it when there is one."""

    api: ServeApi
    run: RunState | None

    @property
    def port(self) -> int | None:
        """The HTTP port that was chosen for this run; None: the file's."""
        return self.run.port if self.run else None

    def config(self) -> dict[str, Any]:
        """The configuration that the cluster was last given. Raises Failure."""
        return running_config(self.api.details())


def connect(state: Path) -> Cluster:
    """The running cluster. Raises Failure when there is none."""
    run = RunFile(state).running()
    if run is not None:
        return Cluster(ServeApi(run.dashboard_url, state / "ray-token"), run)
    address = environment("RAY_DASHBOARD_ADDRESS")
    if address is None:
        raise Failure("Carillon is not running. Start it with: make serve")
    token = Path(environment("RAY_AUTH_TOKEN_PATH") or state / "ray-token")
    return Cluster(ServeApi(address, token), None)


def running_config(details: dict[str, Any]) -> dict[str, Any]:
    """The configuration that a cluster was last given, as far as Serve tells it."""
    applications = details.get("applications") or {}
    return {
        "applications": [
            {**(app.get("deployed_app_config") or {}), "name": name}
            for name, app in applications.items()
            if app.get("source") != "imperative"
        ],
        "http_options": details.get("http_options"),
        "proxy_location": details.get("proxy_location"),
    }
