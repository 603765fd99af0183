"""Every route of the gateway in this process: real stores and accounts, and no models behind it.

The route table is the one that is served (`ingress.routes`), for the models of `serve_config.yaml`.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from auth.apps import AppBook
from auth.documents import DocumentBook
from auth.files import FileBook
from auth.gallery import GalleryBook
from auth.idempotency import IdempotencyBook
from auth.identify import Identifier
from auth.job_news import JobNews
from auth.jobs import JobBook
from auth.keys import KeyHasher
from auth.ledger import LedgerWriter
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.plans import read_plans
from auth.prices import PriceBook
from auth.promises import ValkeyPromises
from auth.receipts import ReceiptSigner
from auth.reconciliation import Reconciliation
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from auth.webhook_tries import WebhookTries
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from core.model import ModelCard
from core.settings import ROOT, SecretReference
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fetch import FetchSettings, MediaFetcher
from ingress.idempotency import Idempotency
from ingress.media.blobs import Blobs
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.realtime.places import Places
from ingress.realtime.settings import RealtimeSettings
from ingress.remote_media import RemoteMedia
from ingress.routes import Services, endpoints, sockets
from ingress.strangers import Strangers
from ingress.turns import Turns
from tests.fakes.dispatch import Salts, ScriptedDispatcher, SilentTelemetry
from tests.ingress.busy_world import QuietWatch
from tests.ingress.identity import world as worlds
from tests.ingress.identity.world import World


def cards() -> list[ModelCard]:
    """The models of the configuration that is served on a CPU."""
    document = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    gateway = next(a for a in document["applications"] if a["name"] == "gateway")
    return [
        ModelCard.model_validate(card)
        for card in gateway["deployments"][0]["user_config"]["models"]
    ]


@dataclass
class Whole:
    """A world whose application has every route, what writes its ledger, and what calls models."""

    world: World
    ledger: LedgerWriter
    dispatcher: ScriptedDispatcher


@asynccontextmanager
async def whole_gateway(
    database_url: str,
    valkey_url: str,
    directory: Path,
    prices: PriceBook | None = None,
    dispatcher: ScriptedDispatcher | None = None,
) -> AsyncIterator[Whole]:
    """One gateway replica, which has its own part of the stores and its files in `directory`."""
    prefix, media = f"test-{secrets.token_hex(4)}", directory / "media"
    (directory / "pepper").write_text(worlds.PEPPER.get_secret_value())
    pepper = SecretReference(f"file:{directory / 'pepper'}")
    async with worlds.world(database_url, valkey_url, prefix, pepper) as world:
        plans = read_plans(ROOT / "plans.yaml")
        prices, dispatcher = prices or PriceBook(), dispatcher or ScriptedDispatcher()
        limits, readiness = Limits(plans), Readiness()
        admission = ValkeyAdmission(world.store, prefix)
        identity, secret = world.identity, pepper.resolve()
        identifier = Identifier(identity.callers, KeyHasher(secret))
        path = RequestPath(
            identifier, admission, limits, dispatcher, Salts(), SilentTelemetry(), prices=prices
        )
        ledger = LedgerWriter(world.store, world.database, prefix)

        async def answers() -> None: ...

        services = Services(
            path=path,
            directory=world.directory,
            identity=identity,
            usage=Usage(world.database),
            receipts=ReceiptSigner(secret),
            idempotency=Idempotency(path, IdempotencyBook(world.store, prefix)),
            guard=Strangers(identifier),
            admission=admission,
            limits=limits,
            prices=prices,
            ledger=ledger,
            reconciliation=Reconciliation(world.database),
            readiness=readiness,
            turns=Turns(readiness, limits.weight, QuietWatch()),
            checks={"valkey": answers, "postgresql": answers},
            configuration=(),
            files=FileBook(world.database),
            gallery=GalleryBook(world.database),
            apps=AppBook(world.database),
            jobs=JobBook(world.database),
            news=JobNews(world.database),
            steps=StepBook(world.database),
            promises=ValkeyPromises(world.store, prefix),
            webhooks=WebhookSigner(secret),
            tries=WebhookTries(world.database),
            media=MediaStore(
                Blobs(str(media)), MediaOwnership(world.database), UrlSigner(secret, 3600), plans
            ),
            remote=RemoteMedia(MediaFetcher(FetchSettings())),
            documents=DocumentBook(world.database),
            upload_bytes=1_000_000,
            decisions=list,
            places=Places(RealtimeSettings()),
        )
        catalog = Catalog(cards())
        world.application = Application(
            endpoints(catalog, services), "test", sockets(catalog, services)
        )
        yield Whole(world, ledger, dispatcher)
