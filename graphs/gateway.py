"""The gateway as a Serve application: HTTP ingress, authentication, admission, dispatch.

Place in the path: where HTTP enters. It hands what `graphs.governed` built to `ingress`; it decides
nothing about a request itself.

Models arrive through `user_config`, which Serve applies without a restart: adding a model leaves
streams that run alone.
"""

import asyncio
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ray import serve
from ray.serve import Application as ServeApplication
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.apps import AppBook
from auth.database import Database
from auth.documents import DocumentBook
from auth.files import FileBook
from auth.gallery import GalleryBook
from auth.idempotency import IdempotencyBook
from auth.identify import Identifier
from auth.identity import Identity
from auth.identity_settings import IdentitySettings
from auth.job_news import JobNews
from auth.jobs import JobBook
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.receipts import ReceiptSigner
from auth.reconciliation import Reconciliation
from auth.usage import Usage
from auth.webhook_tries import WebhookTries
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from core.model import Frozen, ModelCard
from core.settings import parse
from graphs.gathered_writes import gather_writes
from graphs.governed import Governed, GovernedArgs
from graphs.scaling import published
from ingress.application import Application, starting
from ingress.catalog import Catalog
from ingress.fetch import MediaFetcher
from ingress.idempotency import Idempotency
from ingress.realtime.places import Places
from ingress.realtime.settings import RealtimeSettings
from ingress.remote_media import RemoteMedia
from ingress.routes import Services, endpoints, sockets
from ingress.strangers import Strangers

REPORT_S = 20.0
"""Longest statement of a report: a year, day by day, takes a while."""
REPORTS_AT_ONCE = 2
"""Connections for them: reports never keep an account's look-up waiting."""


class GatewayArgs(GovernedArgs):
    """`args` of the gateway's application in `serve_config.yaml`."""

    identity: IdentitySettings = IdentitySettings()
    """Who may log in, and how."""
    realtime: RealtimeSettings = RealtimeSettings()
    """Limits of conversations over WebSockets."""


class GatewayConfig(Frozen):
    """`user_config` of the gateway's deployment."""

    models: tuple[ModelCard, ...] = ()


@serve.ingress()
class Gateway:
    """One gateway replica."""

    def __init__(self, args: GatewayArgs) -> None:
        gather_writes()
        self.governed = governed = Governed(args)
        identity = Identity(
            args.identity,
            args.stores,
            governed.database,
            governed.valkey,
            governed.hasher,
            governed.directory,
        )
        identifier = Identifier(identity.callers, governed.hasher, forwarded=identity.forwarded)
        self.path = governed.path(identifier)
        # A connection of its own: answers of many megabytes travel there, and on the other one
        # admissions would wait behind them.
        kept = Pipeline(args.stores.redis_url.resolve(), args.stores.timeout_s)
        url, timeout_s = args.stores.database_url.resolve(), args.stores.timeout_s
        news = JobNews(Database(url, timeout_s, connections=1))
        self.services = Services(
            path=self.path,
            directory=governed.directory,
            identity=identity,
            usage=Usage(Database(url, REPORT_S, REPORTS_AT_ONCE)),
            receipts=ReceiptSigner(governed.pepper),
            idempotency=Idempotency(
                self.path, IdempotencyBook(kept, args.stores.prefix, args.lease_s)
            ),
            guard=Strangers(identifier, forwarded_for=args.identity.forwarded_for),
            admission=governed.admission,
            limits=governed.limits,
            prices=governed.prices,
            ledger=LedgerWriter(governed.valkey, governed.database, args.stores.prefix),
            reconciliation=Reconciliation(governed.database),
            readiness=governed.readiness,
            turns=governed.turns,
            checks={
                "valkey": governed.check_valkey,
                "postgresql": governed.check_postgresql,
            },
            configuration=governed.files.files,
            files=FileBook(governed.database),
            gallery=GalleryBook(governed.database),
            apps=AppBook(governed.database),
            jobs=JobBook(governed.database),
            news=news,
            steps=StepBook(governed.database),
            promises=governed.promises,
            webhooks=WebhookSigner(governed.pepper),
            tries=WebhookTries(governed.database),
            media=governed.media,
            remote=RemoteMedia(MediaFetcher(args.fetch)),
            documents=DocumentBook(governed.database),
            upload_bytes=args.media.upload_bytes,
            decisions=published,
            places=Places(args.realtime),
        )
        # A new replica may have the port of one that died, and be asked before it is configured.
        self.application: ASGIApp = starting
        listening = asyncio.get_running_loop().create_task(news.run())
        self._background = [*governed.start(), listening]

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

    def _mount(self, config: GatewayConfig) -> Application:
        catalog = Catalog(config.models)
        table, others = endpoints(catalog, self.services), sockets(catalog, self.services)
        told = self.governed.telemetry
        return Application(table, _version(), others, told.answered, told.disconnected)


def _version() -> str:
    try:
        return version("carillon")
    except PackageNotFoundError:
        return "0"


def build(args: GatewayArgs) -> ServeApplication:
    """The gateway's application. It needs no GPU and little CPU."""
    deployment = serve.deployment(
        name="Gateway",
        user_config={"models": []},  # so that Serve calls `reconfigure` whatever is configured
        max_ongoing_requests=1000,
        max_queued_requests=2000,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=20,
        ray_actor_options={"num_cpus": 0.25},
    )
    application: ServeApplication = deployment(Gateway).bind(args)
    return application
