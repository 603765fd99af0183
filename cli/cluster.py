"""Reaching the cluster that `up` runs: `deploy`, `plan` and `status` begin here.

Place: between the commands and `cli/serve_api.py`. It starts nothing.
"""

from pathlib import Path
from typing import Any

from cli.failure import Failure
from cli.run_state import RunFile, RunState
from cli.serve_api import ServeApi


def connect(state: Path) -> tuple[RunState, ServeApi]:
    """The running cluster of this installation. Raises Failure when there is none."""
    run = RunFile(state).running()
    if run is None:
        raise Failure("Carillon is not running. Start it with: make serve")
    return run, ServeApi(run.dashboard_url, state / "ray-token")


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
