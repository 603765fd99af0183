"""Health and status.

Place in the path: beside it; neither authenticates, admits nor charges. `/health` is for load
balancers and says nothing that a stranger should not know; `/status` tells tenants what serves, and
operators alone why something does not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from auth.live_files import LiveFile
from auth.principal import Scope
from core.errors import CarillonError, StoreUnavailable
from ingress.catalog import Catalog
from ingress.endpoint import Endpoint
from ingress.exchange import Exchange
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.responses import json_response

DECIDING = "valkey"
"""The store without which nothing is admitted. Without PostgreSQL known keys are served: a balancer
that took the gateway out then would make a whole outage of a part."""
PATIENCE_S = 2.0
"""How long a store has to answer: whoever asks for health has little patience, too."""

Check = Callable[[], Awaitable[None]]
"""Returns when a store answers; raises CarillonError when it does not."""


class Health:
    """Whether the parts answer."""

    def __init__(
        self,
        path: RequestPath,
        catalog: Catalog,
        readiness: Readiness,
        checks: Mapping[str, Check],
        ledger: Callable[[], Awaitable[dict[str, Any]]],
        configuration: Sequence[LiveFile] = (),
    ) -> None:
        self._path = path
        self._catalog = catalog
        self._readiness = readiness
        self._checks = checks
        self._ledger = ledger
        self._configuration = configuration

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/health", self.health, "Whether the cluster serves", public=True),
            Endpoint(
                "GET",
                "/status",
                self.status,
                "Every application, every store",
            ),
        ]

    async def health(self, exchange: Exchange) -> Response:
        """200 while requests can be served; 503 while Valkey is away.

        Without PostgreSQL it is `degraded`: people should mind, balancers should not. A file that
        is not taken over is told and changes nothing: what held before it holds.
        """
        services = await self._stores()
        for file in self._configuration:
            services[file.path.name] = "healthy" if file.is_current else "outdated"
        for model in self._catalog:
            services[model.card.id] = self._model(model.card.application_name)
        status = _status({name: services[name] == "healthy" for name in self._checks})
        code = 503 if status == "unhealthy" else 200
        return json_response({"status": status, "services": services}, code)

    async def status(self, exchange: Exchange) -> Response:
        """What serves. What went wrong, in words, and everybody's ledger are the operator's: such
        messages may name other tenants' plans, paths and machines.
        """
        principal = await self._path.authorize(exchange.key, Scope.USAGE)
        told = {
            "applications": {
                name: {
                    "status": state.status,
                    "running_replicas": state.replicas,
                    "deployed_at": int(state.since),
                }
                for name, state in self._readiness.applications.items()
            },
            "models": {m.card.id: m.card.application_name for m in self._catalog},
            "stores": await self._stores(),
            "configuration": {
                file.path.name: {"current": file.is_current, "read_at": int(file.read_at)}
                for file in self._configuration
            },
            "known_at": int(self._readiness.known_at),
        }
        if Scope.ADMIN in principal.scopes:
            await self._add_operators_view(told)
        return json_response(told)

    async def _add_operators_view(self, told: dict[str, Any]) -> None:
        for name, state in self._readiness.applications.items():
            told["applications"][name]["message"] = state.message
        for file in self._configuration:
            told["configuration"][file.path.name]["error"] = file.error
        told["ledger"] = await self._ledger()

    async def _stores(self) -> dict[str, str]:
        verdicts = await asyncio.gather(*map(_verdict, self._checks.values()))
        return dict(zip(self._checks, verdicts, strict=True))

    def _model(self, application: str) -> str:
        state = self._readiness.of(application)
        if state is None:
            return "absent" if self._readiness.applications else "unknown"
        if state.asleep:
            return "asleep"
        return "healthy" if state.serving else state.status.lower()


async def _verdict(check: Check) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check()
    except CarillonError as error:
        return error.code
    except TimeoutError:
        return StoreUnavailable.code
    return "healthy"


def _status(answers: Mapping[str, bool]) -> str:
    """`healthy`, `degraded` or `unhealthy`, by the stores that answer."""
    if all(answers.values()):
        return "healthy"
    return "degraded" if answers.get(DECIDING, True) else "unhealthy"
