"""The gateway's video routes over real PostgreSQL, jobs in this process, and a studio for a model.

The studio judges requests as the model does and answers with a real MP4 of one colour. A test may
hold it at a step, or have it fail there.
"""

import asyncio
import base64
import io
import json
import secrets
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from openai import AsyncOpenAI
from PIL import Image
from pydantic import SecretStr

from auth.files import FileBook
from auth.job_news import JobNews
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.plans import DAY_S, MONTH_S, Meter, Plan, Window
from auth.prices import PriceBook
from core.errors import CarillonError, InvalidKey
from core.model import Chunk, ModelCard
from core.videos import VideoLimits, shot_of
from core.work import NO_WORK, WorkUnits
from deployments.video_files import mp4, spritesheet, thumbnail
from graphs.videos import Videos
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.fetch import FetchSettings, MediaFetcher
from ingress.files import Files
from ingress.headroom import Headroom
from ingress.media.blobs import Blobs
from ingress.media.delivery import Delivery
from ingress.media.library import Library
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.remote_media import RemoteMedia
from ingress.video_aliases import VideoAliases
from ingress.video_forms import VideoForms
from ingress.video_jobs import VideoJobs
from ingress.videos import VideoEndpoints
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import NothingUnheard, Salts, SilentTelemetry, principal
from tests.ingress.heard_book import HeardBook

PEPPER = SecretStr("pepper-of-the-tests-0123456789")
PLANS = {
    "open": Plan("open", (), retention_days=30),
    "poor": Plan("poor", (Window(Meter.MONEY, MONTH_S, 10_000_000),)),
    "brief": Plan("brief", (Window(Meter.VIDEO_PIXEL_MS, DAY_S, 40_000_000),)),
    "small": Plan("small", (Window(Meter.REQUESTS, 60, 2),), storage_bytes=100_000),
}
PRICES = PriceBook(models={"starter-video": {"video_pixel_ms": 1000}})
LIMITS = {"sizes": ["64x64", "128x96"], "fps": [4, 8, 16], "max_frames": 17}
CATALOG = Catalog(
    [
        ModelCard(id="echo", spec="deployments.echo:SPEC"),
        ModelCard(
            id="starter-video", spec="deployments.video:SPEC", aliases=("sora-2",), limits=LIMITS
        ),
        ModelCard(
            id="painter",
            spec="deployments.video:SPEC",
            limits=LIMITS | {"reference": "required", "camera": "none"},
        ),
    ]
)


def picture(size=(80, 50), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, (30, 90, 200)).save(file, kind)
    return file.getvalue()


def data_url(data):
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


class Identifier:
    """A key, and its id, is its tenant's name."""

    def __init__(self):
        self.plans = {}
        self.allowed = {}

    async def identify(self, key):
        key = key.partition(" ")[0]
        if key not in self.plans:
            raise InvalidKey("the API key is not valid")
        return principal(
            tenant_id=key,
            key_id=key,
            plan=self.plans[key],
            allowed_models=self.allowed.get(key),
        )

    async def is_current(self, principal):
        return True

    def forget(self, key, stale): ...


class Studio(NothingUnheard):
    """A model's replica, as the dispatcher sees it."""

    steps = 4

    def __init__(self):
        self.calls = []
        self.contexts = []
        self.hold_at = None
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()
        self.errors = []
        """Raised after the second step, one a call."""

    async def answer(self, call, context):
        raise NotImplementedError

    async def stream(self, call, context):
        self.calls.append(call)
        self.contexts.append(context)
        shot = shot_of(call.request, VideoLimits.of(call.model.card))
        yield _chunk({"type": "video.queued"})
        for step in range(1, self.steps + 1):
            done = shot.units.video_pixel_ms * step // self.steps
            usage = {"video_pixel_ms": done}
            yield _chunk(
                {"type": "video.progress", "step": step, "steps": self.steps, "usage": usage}
            )
            if step == 2 and self.errors:
                raise self.errors.pop(0)
            if step == self.hold_at:
                self.held.set()
                await self.go_on.wait()
        body = _film(call.request, shot)
        data = b"event: video.completed\ndata: " + json.dumps(body).encode() + b"\n\n"
        for start in range(0, len(data), 1000):
            yield Chunk(data[start : start + 1000], shot.units)
        yield Chunk(b"", shot.units, last=True)


def _chunk(event):
    return Chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())


def _film(request, shot):
    frames = np.full((shot.frames, shot.height, shot.width, 3), request.seed % 256, np.uint8)
    files = {
        "video": mp4(frames, shot.fps, request.codec),
        "thumbnail": thumbnail(frames),
        "spritesheet": spritesheet(frames),
    }
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    facts = {"seed": request.seed, "frames": shot.frames, "usage": shot.units.nonzero()}
    return {"type": "video.completed"} | encoded | facts


class Runner:
    """Jobs in this process: what `graphs.durable` does, without what makes it durable."""

    def __init__(self, database):
        self.book = HeardBook(database, self)
        self.videos: Any = None
        self.tasks = {}
        self.paused = False

    def hear(self, job):
        if not self.paused:
            self.tasks[job.id] = asyncio.ensure_future(self.run(job.id))

    def stop(self, job):
        if job.id in self.tasks:
            self.tasks[job.id].cancel()

    async def run(self, job_id):
        job = await self.book.begin(job_id)
        if job.status.is_final:
            return
        count = await self.videos.plan(job)
        try:
            outcomes = [await self.videos.piece(job, index) for index in range(count)]
            await self.book.complete(job_id, await self.videos.finish(job, outcomes))
        except CarillonError as error:
            await self.book.fail(job_id, error.code, error.message)


class VideoWorld:
    """Everything a test may want to reach."""

    def __init__(self, database, directory):
        self.database = database
        self.runner = Runner(database)
        self.book = self.runner.book
        self.news = JobNews(database)
        self.identifier = Identifier()
        self.admission = InMemoryAdmission()
        self.studio = Studio()
        self.store = MediaStore(
            Blobs(str(directory)), MediaOwnership(database), UrlSigner(PEPPER, 3600), PLANS
        )
        limits = Limits(PLANS)
        self.path = RequestPath(
            self.identifier, self.admission, limits, self.studio, Salts(), SilentTelemetry()
        )
        self.videos = Videos(self.path, self.book, self.store, self.admission, Readiness())
        self.videos.catalog = CATALOG
        self.runner.videos = self.videos
        files = FileBook(database)
        settings = FetchSettings(timeout_s=1.0)
        forms = VideoForms(files, self.store, RemoteMedia(MediaFetcher(settings)))
        headroom = Headroom(self.admission, limits, PRICES)
        jobs = VideoJobs(CATALOG, self.book, self.store, headroom)
        parts = (
            VideoEndpoints(self.path, self.book, self.news, self.store, jobs, forms),
            VideoAliases(self.path, jobs),
            Files(self.path, files, self.store),
            Library(self.path, self.store, 100_000),
            Delivery(self.store),
        )
        endpoints = [endpoint for part in parts for endpoint in part.endpoints()]
        self.application = Application(endpoints, "test")

    async def tenant(self, plan="open"):
        """A new tenant's id, which is its key."""
        name = f"video-{secrets.token_hex(6)}"
        await self.database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, $2)", name, plan
        )
        self.identifier.plans[name] = plan
        return name

    async def stored(self, key, plan="open"):
        """Bytes that a tenant keeps."""
        (state, *_) = await self.store.storage.standing(principal(tenant_id=key, plan=plan))
        return state.used

    @asynccontextmanager
    async def http(self, key):
        transport = httpx.ASGITransport(self.application, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers=headers
        ) as client:
            yield client

    @asynccontextmanager
    async def sdk(self, key):
        async with self.http(key) as client:
            yield AsyncOpenAI(
                api_key=key, base_url="http://test/v1", http_client=client, max_retries=0
            )

    @property
    def settlements(self):
        return [event.settlement for event in self.admission.events if event.settlement]

    @property
    def billed(self):
        return sum((s.units for s in self.settlements), NO_WORK)

    async def close(self):
        for task in self.runner.tasks.values():
            task.cancel()
        await asyncio.gather(*self.runner.tasks.values(), return_exceptions=True)
        await self.database.aclose()


def pixel_ms(width, height, seconds):
    return WorkUnits(video_pixel_ms=round(width * height * seconds * 1000))
