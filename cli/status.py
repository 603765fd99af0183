"""`carillon status`: applications, deployments, replicas, stores, and the ledger's lag.

Place: beside a running cluster; it only reads. Serve's part comes from the dashboard, the rest
from the gateway's own `/status`, when the gateway answers.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from cli.accounts import API_KEY
from cli.cluster import connect
from cli.processes import find
from cli.run_state import RunState
from cli.screen import OUT, warn

COLOURS = {"RUNNING": "green", "HEALTHY": "green", "DEPLOYING": "yellow", "UPDATING": "yellow"}


def show_status(state: Path) -> bool:
    """Print the state of the cluster; whether every application runs."""
    cluster = connect(state)
    applications = cluster.api.details().get("applications") or {}
    table = Table(box=None, pad_edge=False)
    for title in ("application", "deployment", "status", "replicas", "message"):
        table.add_column(title, overflow="fold")
    for row in rows(applications):
        table.add_row(*row)
    OUT.print(table)
    if cluster.run is not None:
        _print_run(cluster.run)
        _print_gateway(cluster.run, state)
    return all(app["status"] == "RUNNING" for app in applications.values())


def rows(applications: dict[str, Any]) -> Iterator[tuple[str, str, Text, str, str]]:
    """One row for each deployment, or for an application that has none yet."""
    for name, application in applications.items():
        deployments = application.get("deployments") or {}
        if not deployments:
            yield name, "-", _coloured(application["status"]), "-", _line(application["message"])
        for deployment in deployments.values():
            states = Counter(replica["state"] for replica in deployment["replicas"])
            yield (
                name,
                deployment["name"],
                _coloured(deployment["status"]),
                ", ".join(f"{count} {state.lower()}" for state, count in states.items()) or "0",
                _line(deployment["message"] or application["message"]),
            )


def _print_run(run: RunState) -> None:
    OUT.print(f"\nAPI {run.base_url}/v1   dashboard {run.dashboard_url}   pid {run.up.pid}")
    for store in run.stores:
        OUT.print(f"{store.role}: {'runs' if find(store) else 'does not run'} (pid {store.pid})")


def _print_gateway(run: RunState, state: Path) -> None:
    try:
        key = (state / API_KEY).read_text()
        headers = {"Authorization": f"Bearer {key.strip()}"}
        answer = httpx.get(f"{run.base_url}/status", headers=headers, timeout=5, trust_env=False)
        body = answer.raise_for_status().json()
    except (OSError, ValueError, httpx.HTTPError) as error:
        warn(f"the gateway does not tell its status: {error}")
        return
    for part in ("stores", "ledger"):
        facts = ", ".join(f"{name} {value}" for name, value in (body.get(part) or {}).items())
        OUT.print(f"{part}: {facts or 'unknown'}")


def _coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "red"))


def _line(message: str | None) -> str:
    return (message or "").strip().splitlines()[0][:120] if message else ""
