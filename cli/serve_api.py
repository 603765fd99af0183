"""Ray Serve's REST API, as the dashboard of this installation offers it.

Place: every command that talks to the cluster. It sends and receives plain dictionaries in the
format of `serve deploy`; it does not validate them (`cli/config.py` does) nor import Ray, so that
commands start quickly.
"""

from pathlib import Path
from typing import Any

import httpx

from cli.failure import Failure

APPLICATIONS = "/api/serve/applications/"
TIMEOUT_S = 30.0
REASON_CHARACTERS = 1500
DEPLOY_S = 240.0
"""The first deployment starts Serve's controller and proxies before it answers."""


class ServeApi:
    """A client of the dashboard.

    Args:
        dashboard_url: as `http://127.0.0.1:8265`.
        token: file with the Ray token.
    """

    def __init__(self, dashboard_url: str, token: Path) -> None:
        secret = token.read_text().strip() if token.exists() else ""
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        # The cluster is on this machine or in this network: proxies of the environment are not.
        self._client = httpx.Client(
            base_url=dashboard_url, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
        self.url = dashboard_url

    def is_up(self) -> bool:
        """Whether Serve's part of the dashboard answers."""
        try:
            return self._client.get(APPLICATIONS, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def details(self) -> dict[str, Any]:
        """Everything Serve says about its applications. Raises Failure."""
        details: dict[str, Any] = self._request("GET").json()
        return details

    def deploy(self, config: dict[str, Any]) -> None:
        """Make `config` the desired state: applications that it lacks are removed."""
        self._request("PUT", json=config, timeout=DEPLOY_S)

    def shutdown(self, timeout_s: float) -> None:
        """Remove all applications and Serve itself."""
        self._request("DELETE", timeout=timeout_s)

    def _request(self, method: str, **options: Any) -> httpx.Response:
        try:
            response = self._client.request(method, APPLICATIONS, **options)
        except httpx.HTTPError as error:
            raise Failure(f"the cluster does not answer at {self.url} ({error})") from error
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise Failure(f"the cluster at {self.url} does not accept this installation's token")
        if response.is_error:
            raise Failure(f"Ray Serve refused: {_reason(response)}")
        return response


def _reason(response: httpx.Response) -> str:
    """What went wrong; the end of a traceback tells, so it is its end that is kept."""
    try:
        body = response.json()
    except ValueError:
        return response.text[-REASON_CHARACTERS:]
    text = str(body.get("msg") or body) if isinstance(body, dict) else str(body)
    return text[-REASON_CHARACTERS:]
