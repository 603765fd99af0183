"""`carillon scale`: more or fewer replicas of one model, now.

Place: while the cluster runs, beside `deploy`. It changes one application of the configuration
that Serve was last given and applies that; running replicas stay. The file is not written: what
shall last belongs there, and the next `deploy` says what it would take back.
"""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.cluster import connect
from cli.failure import Failure
from cli.screen import OUT

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """A fixed number of replicas, or a range that the autoscaler moves in."""

    least: int
    most: int

    @property
    def fixed(self) -> bool:
        return self.least == self.most

    @classmethod
    def parse(cls, text: str) -> "Size":
        """`2`, or `0-2`. Raises Failure."""
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
        if match is None:
            raise Failure(f"'{text}' is neither a number of replicas nor a range such as 0-2")
        least = int(match[1])
        most = int(match[2] or least)
        if most < max(least, 1):
            raise Failure(f"'{text}': at least one replica must be allowed")
        return cls(least, most)


def scale(application: str, size: str, state: Path) -> None:
    """Make `application` have `size` replicas. Raises Failure."""
    wanted = Size.parse(size)
    cluster = connect(state)
    desired = scaled(cluster.config(), application, wanted)
    cluster.api.deploy(desired)
    OUT.print(f"{application}: {_words(wanted)}. The file is unchanged; put it there to keep it.")


def scaled(config: Document, application: str, size: Size) -> Document:
    """`config` with another size of one application's deployment. Raises Failure."""
    desired = copy.deepcopy(config)
    found = {app["name"]: app for app in desired["applications"]}
    if application not in found:
        raise Failure(f"no application '{application}'; there are {', '.join(sorted(found))}")
    deployments = found[application].get("deployments") or []
    if len(deployments) != 1:
        raise Failure(f"'{application}' has {len(deployments)} deployments: scale it in the file")
    _resize(deployments[0], size)
    return desired


def _resize(deployment: Document, size: Size) -> None:
    if size.fixed:
        deployment.pop("autoscaling_config", None)
        deployment["num_replicas"] = size.least
        return
    deployment.pop("num_replicas", None)
    automatic = deployment.get("autoscaling_config") or {}
    automatic.pop("initial_replicas", None)
    deployment["autoscaling_config"] = automatic | {
        "min_replicas": size.least,
        "max_replicas": size.most,
    }


def _words(size: Size) -> str:
    if size.fixed:
        return f"{size.least} replica" + ("s" if size.least != 1 else "")
    return f"{size.least} to {size.most} replicas, by load"
