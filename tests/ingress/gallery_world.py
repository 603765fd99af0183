"""Image workflow and gallery routes over real PostgreSQL and a real media store.

The model behind them is the graph itself, over a painter and a viewer of this process.
"""

import base64
import secrets
from contextlib import asynccontextmanager

import httpx
from pydantic import SecretStr

from auth.files import FileBook
from auth.gallery import GalleryBook
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.plans import Plan
from core.model import ModelCard
from graphs.image_workflow.workflow import ImageWorkflow, ImageWorkflowSettings
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fetch import FetchSettings, MediaFetcher
from ingress.files import Files
from ingress.gallery import Gallery
from ingress.image_workflows import ImageWorkflows
from ingress.media.blobs import Blobs
from ingress.media.delivery import Delivery
from ingress.media.library import Library
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.atelier import Painter, Viewer, stand_in
from tests.fakes.dispatch import NothingUnheard, Salts, SilentTelemetry
from tests.ingress.video_world import Identifier

PEPPER = SecretStr("pepper-of-the-tests-0123456789")
PLANS = {
    "open": Plan("open", (), retention_days=30),
    "small": Plan("small", (), storage_bytes=1_000),
}
CATALOG = Catalog([ModelCard(id="image-workflow", spec="graphs.image_workflow:SPEC")])


class Graph(NothingUnheard):
    """The graph's replica, as the dispatcher sees it."""

    def __init__(self):
        settings = ImageWorkflowSettings(image="starter-image", vision="starter-vision")
        self.workflow = ImageWorkflow(settings)
        self.painter = self.workflow.painter._step = stand_in(Painter())
        self.workflow.viewer = stand_in(Viewer())
        self.requests = []

    async def answer(self, call, context):
        self.requests.append(call.request)
        return await self.workflow.run(call.request, context)

    async def stream(self, call, context):
        raise NotImplementedError
        yield


class GalleryWorld:
    """Everything a test may want to reach."""

    def __init__(self, database, directory):
        self.database = database
        self.identifier = Identifier()
        self.admission = InMemoryAdmission()
        self.graph = Graph()
        self.book = GalleryBook(database)
        self.store = MediaStore(
            Blobs(str(directory)), MediaOwnership(database), UrlSigner(PEPPER, 3600), PLANS
        )
        path = RequestPath(
            self.identifier, self.admission, Limits(PLANS), self.graph, Salts(), SilentTelemetry()
        )
        remote = RemoteMedia(MediaFetcher(FetchSettings(timeout_s=1.0)))
        parts = (
            ImageWorkflows(path, CATALOG, self.store, self.book, remote),
            Gallery(path, self.book, self.store),
            OpenAI(path, CATALOG, remote),
            Library(path, self.store, 100_000),
            Files(path, FileBook(database), self.store),
            Delivery(self.store),
        )
        endpoints = [endpoint for part in parts for endpoint in part.endpoints()]
        self.application = Application(endpoints, "test")

    async def tenant(self, plan="open"):
        """A new tenant's id, which is its key."""
        name = f"gallery-{secrets.token_hex(6)}"
        await self.database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, $2)", name, plan
        )
        self.identifier.plans[name] = plan
        return name

    @asynccontextmanager
    async def http(self, key):
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            yield client

    async def stored(self, tenant):
        """Hashes of the tenant's media."""
        rows = await self.database.fetch("SELECT hash FROM media WHERE tenant_id = $1", tenant)
        return {row["hash"] for row in rows}

    @property
    def billed(self):
        return [event.settlement.units for event in self.admission.events if event.settlement]


def data_url(data):
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
