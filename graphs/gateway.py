"""The gateway as a Serve application: HTTP ingress, authentication, admission, dispatch.

Place in the path: the composition root of steps 1 to 5. It builds each part with the slice of
settings it needs and hands them to `ingress`; it decides nothing about a request itself.

Models arrive through `user_config`, which Serve applies without a restart: adding a model leaves
streams that run alone.
"""

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import Field
from ray import serve
from ray.serve import Application as ServeApplication
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.database import Database
from auth.directory import Directory
from auth.epochs import Epochs
from auth.identify import Identifier
from auth.isolation import TenantSalts
from auth.keys import KeyHasher
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.plans import Limits, read_plans
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from core.model import Frozen, ModelCard
from core.settings import ROOT, StoreSettings, parse, state_directory
from graphs.scaling import published
from ingress.access_log import AccessLog
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.dispatch import ServeDispatcher
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.routes import Services, endpoints
from ingress.telemetry import ServeTelemetry
from ingress.waking import Waking

RENEWALS_PER_LEASE = 4


class GatewayArgs(Frozen):
    """`args` of the gateway's application in `serve_config.yaml`."""

    stores: StoreSettings = StoreSettings()
    plans: str = "plans.yaml"
    """Path of the plans, from the checkout when relative."""
    answer_timeout_s: float = Field(600.0, gt=0)
    """Longest wait for a model: for a whole answer, and for each piece of a stream."""
    wake_patience_s: float = Field(30.0, ge=0)
    """How long callers wait for a sleeping model to load before they get 503 and an estimate."""
    lease_s: float = Field(60.0, gt=1)
    """How long a reservation outlives a gateway that was killed."""
    cache_ttl_s: float = Field(3600.0, gt=0)
    cache_item_bytes: int = Field(2**20, gt=0)
    """Longest answer that is cached."""


class GatewayConfig(Frozen):
    """`user_config` of the gateway's deployment."""

    models: tuple[ModelCard, ...] = ()


@serve.ingress()
class Gateway:
    """One gateway replica."""

    def __init__(self, args: GatewayArgs) -> None:
        stores = args.stores
        pepper = stores.pepper.resolve()
        plans = read_plans(ROOT / args.plans)
        self.limits = Limits(plans)
        self.valkey = Pipeline(stores.redis_url.resolve(), stores.timeout_s)
        self.database = Database(stores.database_url.resolve(), stores.timeout_s)
        hasher = KeyHasher(pepper)
        self.directory = Directory(self.database, Epochs(self.valkey, stores.prefix), hasher, plans)
        self.admission = ValkeyAdmission(
            self.valkey, stores.prefix, args.lease_s, args.cache_ttl_s, args.cache_item_bytes
        )
        self.usage = Usage(self.database)
        self.ledger = LedgerWriter(self.valkey, self.database, stores.prefix)
        self.readiness = Readiness()
        self.telemetry = ServeTelemetry(AccessLog(state_directory() / "logs"))
        self.path = RequestPath(
            Identifier(self.directory, hasher),
            self.admission,
            self.limits,
            ServeDispatcher(
                self.readiness,
                Waking(self.readiness, args.wake_patience_s),
                args.answer_timeout_s,
            ),
            TenantSalts(pepper),
            self.telemetry,
            renew_s=args.lease_s / RENEWALS_PER_LEASE,
        )
        self.services = Services(
            path=self.path,
            directory=self.directory,
            usage=self.usage,
            admission=self.admission,
            limits=self.limits,
            ledger=self.ledger,
            readiness=self.readiness,
            checks={"valkey": self._check_valkey, "postgresql": self._check_postgresql},
            decisions=published,
        )
        self.application = self._mount(GatewayConfig())
        loop = asyncio.get_running_loop()
        self._background = [
            loop.create_task(self.readiness.run()),
            loop.create_task(self.telemetry.run()),
        ]

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve's hook for a changed `user_config`: swap the route table in one assignment."""
        config = parse(GatewayConfig, user_config, "user_config of the gateway")
        self.application = self._mount(config)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        # uvicorn takes a plain function for ASGI 3, but a bound method for ASGI 2.
        async def serve_current(scope: Scope, receive: Receive, send: Send) -> None:
            await self.application(scope, receive, send)

        return serve_current

    def check_health(self) -> None:
        """Raises when a background task has died, so that Serve replaces this replica."""
        for task in self._background:
            if task.done():
                raise RuntimeError("a background task of the gateway ended") from task.exception()

    async def _check_valkey(self) -> None:
        await self.valkey.call("PING")

    async def _check_postgresql(self) -> None:
        await self.database.execute("SELECT 1")

    def _mount(self, config: GatewayConfig) -> Application:
        return Application(endpoints(Catalog(config.models), self.services), _version())


def _version() -> str:
    try:
        return version("carillon")
    except PackageNotFoundError:
        return "0"


def build(args: GatewayArgs) -> ServeApplication:
    """The gateway's application. It needs no GPU and little CPU."""
    deployment = serve.deployment(
        name="Gateway",
        max_ongoing_requests=1000,
        max_queued_requests=2000,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=20,
        ray_actor_options={"num_cpus": 0.25},
    )
    application: ServeApplication = deployment(Gateway).bind(args)
    return application
