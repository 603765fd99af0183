"""`GET /status`: what serves, for every tenant; why something does not, for operators alone."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from auth.live_files import LiveFile
from auth.principal import Scope
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.health import Health
from ingress.readiness import ApplicationState, Readiness
from tests.fakes.dispatch import principal

SECRETS = ("plan 'gold' is in use", "/srv/models/secret.bin", "lag_s")


class Identified:
    """Step 2, for a caller with these scopes."""

    def __init__(self, *scopes: Scope) -> None:
        self._principal = principal(scopes=frozenset(scopes))

    async def authorize(self, key: str | None, scope: Scope) -> Any:
        self._principal.require(scope)
        return self._principal


async def told(tmp_path: Path, *scopes: Scope) -> httpx.Response:
    (tmp_path / "plans.yaml").write_text("")

    async def take() -> None: ...

    async def lag() -> dict[str, Any]:
        return {"events": 7, "lag_s": 3.5}

    plans = LiveFile(tmp_path / "plans.yaml", take)
    plans.error = "the plan 'gold' is in use and missing"
    readiness = Readiness()
    readiness.applications["chat"] = ApplicationState(
        "DEPLOY_FAILED", "no file /srv/models/secret.bin", 0, 0.0
    )
    step: Any = Identified(*scopes)
    health = Health(step, Catalog([]), readiness, {}, lag, (plans,))
    transport = httpx.ASGITransport(Application(health.endpoints(), "test"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/status")


@pytest.mark.parametrize("scopes", [(Scope.USAGE,), tuple(set(Scope) - {Scope.ADMIN})])
async def test_a_tenant_sees_what_serves_and_no_fact_of_the_operators(tmp_path, scopes):
    answer = await told(tmp_path, *scopes)
    assert answer.json()["applications"]["chat"]["status"] == "DEPLOY_FAILED"
    assert answer.json()["configuration"]["plans.yaml"]["current"] is False
    assert not [secret for secret in SECRETS if secret in answer.text]


async def test_an_operator_sees_why(tmp_path):
    answer = await told(tmp_path, Scope.USAGE, Scope.ADMIN)
    assert [secret for secret in SECRETS if secret in answer.text] == list(SECRETS)
