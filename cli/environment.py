"""What Ray's own tools and notebooks need to reach this cluster, as shell exports.

Place: `carillon env`. The token is named by its file, never printed.
"""

import shlex
from pathlib import Path

from cli.cluster import connect
from cli.failure import Failure
from cli.ray_head import LOOPBACK_ONLY


def variables(state: Path) -> dict[str, str]:
    """Environment of a client of the running cluster. Raises Failure when there is none."""
    run = connect(state).run
    if run is None:
        raise Failure("this machine runs no cluster of its own; the environment names one already")
    return {
        "RAY_ADDRESS": run.gcs_address,
        "RAY_DASHBOARD_ADDRESS": run.dashboard_url,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state / "ray-token"),
        LOOPBACK_ONLY: "0",
        "CARILLON_BASE_URL": f"{run.base_url}/v1",
        "CARILLON_API_KEY_FILE": str(state / "api-key"),
    }


def exports(state: Path) -> str:
    """The variables as lines for a shell."""
    return "\n".join(f"export {k}={shlex.quote(v)}" for k, v in variables(state).items())
