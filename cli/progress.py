"""Progress of a deployment: one line per application as it changes, and what went wrong.

Place: `up` and `deploy` follow the cluster with it until every application has settled. On a
terminal the applications that are still starting are shown with their seconds; in a log each
change is a line. It changes nothing.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.status import Status

from cli.screen import OUT, Steps
from cli.serve_api import ServeApi

POLL_S = 0.3
SLOW_AFTER_S = 30.0
LONGEST_S = 1800.0
"""An application that still waits (for a GPU that is not there, say) is left to itself then."""
SETTLED = {"RUNNING", "DEPLOY_FAILED", "UNHEALTHY"}
ERROR_LINES = 12
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one application ended up."""

    name: str
    status: str
    message: str

    @property
    def is_running(self) -> bool:
        return self.status == "RUNNING"


def follow(
    api: ServeApi, names: Iterable[str], steps: Steps, still_alive: Callable[[], None]
) -> list[Outcome]:
    """Watch until each of the applications runs or has failed.

    Args:
        api: the cluster.
        names: the applications to wait for.
        steps: where lines go.
        still_alive: raises when waiting on is useless.
    """
    waiting = list(names)
    outcomes = settled(api, waiting, steps, still_alive, LONGEST_S)
    for name in set(waiting) - {outcome.name for outcome in outcomes}:
        late = _outcome(name, api.details().get("applications", {}).get(name))
        steps.say(f"{name} has not started yet ({late.status}); see carillon status", "yellow")
        outcomes.append(late)
    return outcomes


def settled(
    api: ServeApi,
    names: Iterable[str],
    steps: Steps,
    still_alive: Callable[[], None],
    within_s: float,
) -> list[Outcome]:
    """Those of the applications that run or have failed within `within_s`; see `follow`."""
    waiting = list(names)
    outcomes: list[Outcome] = []
    explained = False
    began = time.monotonic()
    with OUT.status("") as spinner:
        while waiting and time.monotonic() - began < within_s:
            still_alive()
            applications = api.details().get("applications", {})
            for name in list(waiting):
                outcome = _outcome(name, applications.get(name))
                if outcome.status in SETTLED:
                    waiting.remove(name)
                    outcomes.append(outcome)
                    _report(outcome, steps)
            _show(spinner, waiting, steps)
            if waiting and not explained and time.monotonic() - began > SLOW_AFTER_S:
                explained = _explain(waiting, applications, steps)
            time.sleep(POLL_S if waiting else 0)
    return outcomes


def _outcome(name: str, application: dict[str, Any] | None) -> Outcome:
    if application is None:
        return Outcome(name, "NOT_STARTED", "")
    return Outcome(name, application["status"], application.get("message") or "")


def _report(outcome: Outcome, steps: Steps) -> None:
    if outcome.is_running:
        steps.say(f"{outcome.name} runs", "green")
    else:
        steps.say(f"{outcome.name} failed ({outcome.status})", "bold red")
        OUT.print(readable(outcome.message))


def _show(spinner: Status, waiting: Iterable[str], steps: Steps) -> None:
    spinner.update(f"{steps.elapsed_s():4.0f} s  starting {', '.join(waiting)}")


def _explain(waiting: Iterable[str], applications: dict[str, Any], steps: Steps) -> bool:
    """Say once what slow deployments say about themselves (resources that are missing, ...)."""
    for name in waiting:
        for deployment in (applications.get(name) or {}).get("deployments", {}).values():
            if deployment.get("message"):
                steps.say(f"{name} is still starting: {readable(deployment['message'])}", "yellow")
    return True


def readable(message: str) -> str:
    """A Serve message without escapes, cut to its last lines, where the error is."""
    lines = [line for line in ESCAPES.sub("", message).splitlines() if line.strip()]
    cut = [*lines[:1], "  ...", *lines[-ERROR_LINES:]] if len(lines) > ERROR_LINES + 1 else lines
    return "\n".join(f"          {line}" for line in cut)
