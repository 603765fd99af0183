"""Every route of the gateway, in one place.

Place in the path: between the gateway, which owns stores and clients, and the dialects, which
own handlers. A family of models gets its line here. It decides nothing about a request.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from auth.apps import AppBook
from auth.directory import Directory
from auth.documents import DocumentBook
from auth.files import FileBook
from auth.gallery import GalleryBook
from auth.identity import Identity
from auth.job_news import JobNews
from auth.jobs import JobBook
from auth.ledger import LedgerWriter
from auth.limits import Limits
from auth.live_files import LiveFile
from auth.prices import PriceBook
from auth.promises import Promises
from auth.receipts import ReceiptSigner
from auth.reconciliation import Reconciliation
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from auth.webhook_tries import WebhookTries
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from ingress.accounts import Accounts
from ingress.administration import Administration
from ingress.aliases import Aliases
from ingress.app_aliases import AppAliases
from ingress.app_deployments import AppDeployments
from ingress.app_files import AppFiles
from ingress.apps import AppEndpoints
from ingress.audio import AudioEndpoints
from ingress.batches import BatchEndpoints
from ingress.catalog import Catalog
from ingress.cluster import ClusterEndpoints
from ingress.endpoint import Endpoint, Guard
from ingress.explain import Explain
from ingress.files import Files
from ingress.forecast import ForecastEndpoints
from ingress.fraud import FraudEndpoints
from ingress.gallery import Gallery
from ingress.headroom import Headroom
from ingress.health import Health
from ingress.idempotency import Idempotency
from ingress.image_workflows import ImageWorkflows
from ingress.images import Images
from ingress.market import MarketEndpoints
from ingress.media.delivery import Delivery
from ingress.media.library import Library
from ingress.media.store import MediaStore
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.platform_aliases import PlatformAliases
from ingress.rag import RagEndpoints
from ingress.rag_aliases import RagAliases
from ingress.readiness import Readiness
from ingress.realtime.endpoint import RealtimeEndpoints
from ingress.realtime.places import Places
from ingress.receipts import Receipts
from ingress.remote_media import RemoteMedia
from ingress.rerank import RerankEndpoints
from ingress.sign_in import SignInEndpoints
from ingress.sql import SqlEndpoints
from ingress.tenant_administration import TenantAdministration
from ingress.tenants import TenantEndpoints
from ingress.turns import Turns
from ingress.uploads import Uploads
from ingress.usage import UsageEndpoints
from ingress.users import UserEndpoints
from ingress.video_aliases import VideoAliases
from ingress.video_forms import VideoForms
from ingress.video_jobs import VideoJobs
from ingress.videos import VideoEndpoints
from ingress.vision import VisionEndpoints
from ingress.voice import VoiceEndpoints
from ingress.websocket import SocketEndpoint
from ingress.workflow_admission import RunAdmission
from ingress.workflow_aliases import WorkflowAliases
from ingress.workflow_runs import WorkflowRuns
from ingress.workflows import WorkflowEndpoints


class Part(Protocol):
    """A dialect, or a group of routes."""

    def endpoints(self) -> list[Endpoint]: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers need besides the request path. The gateway makes them once."""

    path: RequestPath
    directory: Directory
    identity: Identity
    usage: Usage
    receipts: ReceiptSigner
    idempotency: Idempotency
    guard: Guard
    admission: ValkeyAdmission
    limits: Limits
    prices: PriceBook
    ledger: LedgerWriter
    reconciliation: Reconciliation
    readiness: Readiness
    turns: Turns
    checks: Mapping[str, Callable[[], Awaitable[None]]]
    """By store: returns when it answers, raises CarillonError when it does not."""
    configuration: Sequence[LiveFile]
    """Files that are read again when they change."""
    files: FileBook
    gallery: GalleryBook
    apps: AppBook
    jobs: JobBook
    news: JobNews
    steps: StepBook
    """Those of workflows."""
    promises: Promises
    webhooks: WebhookSigner
    tries: WebhookTries
    """Of webhooks."""
    media: MediaStore
    remote: RemoteMedia
    documents: DocumentBook
    upload_bytes: int
    """Largest upload of media."""
    decisions: Callable[[], list[dict[str, Any]]]
    """The autoscaler's latest."""
    places: Places
    """For conversations over WebSockets."""


def endpoints(catalog: Catalog, services: Services) -> list[Endpoint]:
    """All routes for the models of `catalog`, hottest first."""
    parts = (part.endpoints() for part in _parts(catalog, services))
    table = [endpoint for part in parts for endpoint in part]
    uploads = Uploads.among(services.path, table)
    return [_applied(endpoint, services, uploads) for endpoint in table]


def _applied(endpoint: Endpoint, services: Services, uploads: Uploads) -> Endpoint:
    """With what is around every handler."""
    if endpoint.public:
        return endpoint
    once = services.idempotency.applied(endpoint)
    return replace(uploads.applied(once), guard=services.guard)


def sockets(catalog: Catalog, services: Services) -> list[SocketEndpoint]:
    """All paths that are WebSockets."""
    return RealtimeEndpoints(services.path, catalog, services.places, services.guard).sockets()


def _parts(catalog: Catalog, services: Services) -> Iterator[Part]:
    path = services.path
    openai = OpenAI(path, catalog, services.remote)
    accounts = Accounts(path, services.directory)
    storage = services.media.storage
    usage = UsageEndpoints(path, services.usage, services.admission, services.limits, storage)
    administration = Administration(
        path, services.usage, services.admission, services.ledger, services.reconciliation
    )
    yield openai
    yield RerankEndpoints(path, catalog)
    yield Images(path, catalog, services.media, services.remote)
    yield ImageWorkflows(path, catalog, services.media, services.gallery, services.remote)
    yield Gallery(path, services.gallery, services.media)
    yield VisionEndpoints(path, catalog, services.remote)
    yield from _videos(path, catalog, services)
    yield AudioEndpoints(path, catalog)
    yield VoiceEndpoints(path, catalog)
    yield FraudEndpoints(path, catalog)
    yield ForecastEndpoints(path, catalog)
    yield MarketEndpoints(path, catalog, services.media)
    yield SqlEndpoints(path, catalog)
    yield from _apps(path, catalog, services)
    yield from _rag(path, catalog, services)
    yield accounts
    yield usage
    yield Receipts(path, services.usage, services.receipts)
    yield Explain(
        path,
        catalog,
        services.admission,
        services.limits,
        services.prices,
        services.readiness,
        services.turns,
        storage,
    )
    yield administration
    yield Health(
        path,
        catalog,
        services.readiness,
        services.checks,
        administration.ledger_lag,
        services.configuration,
    )
    yield Delivery(services.media)
    yield Library(path, services.media, services.upload_bytes)
    yield Files(path, services.files, services.media)
    yield BatchEndpoints(path, services.files, services.jobs)
    yield from _workflows(path, catalog, services)
    yield ClusterEndpoints(path, catalog, services.readiness, services.decisions)
    yield Aliases(path, catalog, openai, accounts, usage, administration)
    people = _people(path, services.identity)
    yield from people
    aliased: list[Part] = [accounts, usage, *people]
    for part in aliased:
        yield PlatformAliases(part.endpoints())


def _people(path: RequestPath, identity: Identity) -> list[Part]:
    return [
        SignInEndpoints(path, identity),
        UserEndpoints(path, identity),
        TenantEndpoints(path, identity),
        TenantAdministration(path, identity),
    ]


def _apps(path: RequestPath, catalog: Catalog, services: Services) -> Iterator[Part]:
    deployments = AppDeployments(path, services.apps, services.media)
    apps = AppEndpoints(path, catalog, services.apps, deployments)
    yield from (apps, AppFiles(path, services.apps), deployments)
    yield AppAliases(path, apps, deployments)


def _workflows(path: RequestPath, catalog: Catalog, services: Services) -> Iterator[Part]:
    headroom = Headroom(services.admission, services.limits, services.prices)
    admission = RunAdmission(
        services.admission, services.promises, services.limits, services.prices
    )
    book, steps, media = services.jobs, services.steps, services.media
    runs = WorkflowRuns(
        path,
        catalog,
        book,
        steps,
        media,
        headroom,
        admission,
        services.tries,
    )
    yield WorkflowEndpoints(
        path,
        runs,
        book,
        steps,
        services.news,
        media,
        services.usage,
        services.prices,
        services.webhooks,
    )
    yield WorkflowAliases(path, catalog, services.readiness, runs, steps, media)


def _rag(path: RequestPath, catalog: Catalog, services: Services) -> Iterator[Part]:
    rag = RagEndpoints(path, catalog, services.documents, services.media)
    yield rag
    yield RagAliases(rag)


def _videos(path: RequestPath, catalog: Catalog, services: Services) -> Iterator[Part]:
    headroom = Headroom(services.admission, services.limits, services.prices)
    jobs = VideoJobs(catalog, services.jobs, services.media, headroom)
    forms = VideoForms(services.files, services.media, services.remote)
    yield VideoEndpoints(path, services.jobs, services.news, services.media, jobs, forms)
    yield VideoAliases(path, jobs)
