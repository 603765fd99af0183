"""`carillon check`, `plan` and `deploy`: a configuration judged, compared, applied.

Place: after `up`, while the cluster runs. `serve deploy` applies a file unchecked and removes
what the file does not name; here both are said before anything happens.
"""

from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from cli.cluster import connect
from cli.config import CheckedConfig, read_config
from cli.failure import Failure
from cli.plan import Change, Effect, plan, removed
from cli.progress import follow
from cli.screen import OUT, Steps, warn

STYLES = {
    Effect.ADDED: "green",
    Effect.REMOVED: "bold red",
    Effect.RESTARTED: "red",
    Effect.RECONFIGURED: "yellow",
    Effect.SCALED: "yellow",
    Effect.IGNORED: "dim",
}


def check(path: Path) -> CheckedConfig:
    """Judge a file. Raises SettingsError that names every fault."""
    config = read_config(path)
    for warning in config.warnings:
        warn(warning)
    return config


def show_plan(path: Path, state: Path) -> bool:
    """Print what `path` would change; whether it changes anything."""
    config = check(path)
    cluster = connect(state)
    changes = plan(cluster.config(), config.with_port(cluster.port))
    _print(changes)
    return bool(changes)


def deploy(path: Path, state: Path, *, yes: bool) -> None:
    """Apply `path` and follow it. Raises Failure when it is refused, or an application fails."""
    config = check(path)
    cluster = connect(state)
    desired = config.with_port(cluster.port)
    changes = plan(cluster.config(), desired)
    _print(changes)
    if not changes:
        return
    _agree(changes, yes=yes)
    cluster.api.deploy(desired)
    outcomes = follow(cluster.api, config.application_names, Steps(), lambda: None)
    failed = [outcome.name for outcome in outcomes if not outcome.is_running]
    if failed:
        raise Failure(f"{', '.join(failed)} could not start")


def _agree(changes: list[Change], *, yes: bool) -> None:
    names = removed(changes)
    if not names or yes:
        return
    question = f"This removes {', '.join(names)}. Go on?"
    if not OUT.is_terminal:
        raise Failure(f"the file lacks {', '.join(names)}, which run; --yes removes them")
    if not typer.confirm(question):
        raise Failure("nothing was changed")


def _print(changes: list[Change]) -> None:
    if not changes:
        OUT.print("No change.")
        return
    table = Table(box=None, pad_edge=False)
    for title in ("application", "deployment", "effect", "because of"):
        table.add_column(title, overflow="fold")
    for change in changes:
        effect = Text(change.effect, style=STYLES[change.effect])
        table.add_row(change.application, change.deployment, effect, ", ".join(change.because))
    OUT.print(table)
