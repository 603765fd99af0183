"""The gateway's workflow routes over real PostgreSQL, runs in this process, and scripted models.

`Models` answers chats with what they end with, pictures with a dot, speech with a beep. A test may
have it hold, fail, or count.
"""

import asyncio
import base64
import io
import secrets
import wave
from collections import Counter
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson

from auth.documents import DocumentBook
from auth.job_news import JobNews
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.plans import DAY_S, MINUTE_S, MONTH_S, Meter, Plan, Window
from auth.prices import PriceBook
from auth.usage import Usage
from auth.webhook_tries import WebhookTries
from auth.webhooks import WebhookSigner
from auth.workflow_steps import StepBook
from core.errors import CarillonError, StoreUnavailable
from core.model import ModelCard, Reply
from core.work import WorkUnits
from graphs.orchestrator.versions import Versions
from graphs.orchestrator.workflows import Workflows
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.headroom import Headroom
from ingress.media.blobs import Blobs
from ingress.media.delivery import Delivery
from ingress.media.library import Library
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.readiness import Readiness
from ingress.workflow_admission import RunAdmission
from ingress.workflow_aliases import WorkflowAliases
from ingress.workflow_runs import WorkflowRuns
from ingress.workflows import WorkflowEndpoints
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import NothingUnheard, Salts, SilentTelemetry
from tests.ingress.heard_book import HeardBook
from tests.ingress.video_world import PEPPER, Identifier, picture


def beep():
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return file.getvalue()


PICTURE, BEEP = picture((64, 64)), beep()


RUNS = "/v1/workflows/runs"
PLANS = {
    "open": Plan("open", (), retention_days=30),
    "poor": Plan("poor", (Window(Meter.MONEY, MONTH_S, 1_000_000),)),
    "brief": Plan("brief", (Window(Meter.REQUESTS, DAY_S, 5),)),
    "small": Plan("small", (), storage_bytes=len(PICTURE)),
    "slow": Plan("slow", (Window(Meter.TOKENS, MINUTE_S, 100),)),
}
PRICES = PriceBook(models={"echo": {"input_tokens": 1_000_000, "output_tokens": 1_000_000}})
CATALOG = Catalog(
    [
        ModelCard(id="echo", spec="deployments.echo:SPEC", max_output_tokens=50),
        ModelCard(id="starter-image", spec="deployments.image:SPEC"),
        ModelCard(id="starter-speech", spec="deployments.speech:SPEC"),
        ModelCard(id="starter-transcribe", spec="deployments.transcription:SPEC"),
        ModelCard(id="fraud", spec="deployments.fraud:SPEC"),
        ModelCard(id="forecast", spec="deployments.forecast:SPEC"),
        ModelCard(id="embed", spec="deployments.embeddings:SPEC"),
        ModelCard(id="rag", spec="graphs.rag.graph:SPEC", context_window=512),
    ]
)
UNITS = WorkUnits(input_tokens=3, output_tokens=2)


class Models(NothingUnheard):
    """Every model of the catalog, as the dispatcher sees them."""

    def __init__(self):
        self.calls = []
        self.asked: Counter[str] = Counter()
        """Calls by the text that they carry."""
        self.errors = {}
        """By text: raised one by one."""
        self.held = {}
        """By text, or how it begins up to a colon: events that an answer waits for."""
        self.under_way = 0
        self.most_at_once = 0

    async def answer(self, call, context):
        self.calls.append(call)
        text = _text(call.request)
        self.asked[text] += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if (gate := self.held.get(text) or self.held.get(text.partition(":")[0])) is not None:
                await gate.wait()
            await asyncio.sleep(0)
            if self.errors.get(text):
                raise self.errors[text].pop(0)
            return _reply(call, text)
        finally:
            self.under_way -= 1

    async def stream(self, call, context):
        raise NotImplementedError
        yield


def _text(request):
    if hasattr(request, "messages"):
        return request.messages[-1].content
    return getattr(request, "prompt", None) or str(getattr(request, "input", ""))


def _reply(call, text):
    if call.operation_name in ("generate", "edit"):
        data = [{"b64_json": base64.b64encode(PICTURE + _variation(call)).decode()}]
        body = {"data": data, "output_format": "png"}
    elif call.operation_name == "speak":
        return Reply(BEEP, WorkUnits(characters=5), "audio/wav")
    elif call.operation_name == "transcribe":
        body = {"text": f"{len(call.request.file)} bytes"}
    elif call.operation_name == "describe":
        body = {"text": "a red circle"}
    elif call.operation_name in ("search", "delete_documents", "add_document"):
        body = {"results": [], "deleted": call.operation_name == "delete_documents"}
    elif call.operation_name == "embed":
        body = {"data": [{"embedding": [0.123456] * 20_000}]}
    else:
        text = text.replace("NUL", "\0")
        message = {"role": "assistant", "content": text}
        body = {"choices": [{"message": message, "finish_reason": "stop"}], "list": text.split()}
    return Reply(orjson.dumps(body), UNITS)


def _variation(call):
    """What makes the pictures of one prompt differ where it says "variation" and has no seed."""
    wanted = "variation" in call.request.prompt and call.request.seed is None
    return secrets.token_bytes(8) if wanted else b""


class Runner:
    """Jobs in this process: what `graphs.durable` does, without what makes it durable."""

    def __init__(self, database):
        self.book = HeardBook(database, self)
        self.kind: Any = None
        self.tasks = {}
        self.hooks = []
        self.paused = False
        self.away = False

    def hear(self, job):
        if job.kind == "webhook":
            self.hooks.append(job)
        elif not self.paused:
            self.tasks[job.execution] = asyncio.ensure_future(self.run(job.id))

    def stop(self, job):
        if job.execution in self.tasks:
            self.tasks[job.execution].cancel()

    def answer(self):
        if self.away:
            raise StoreUnavailable("the database does not answer")

    async def run(self, job_id):
        job = await self.book.begin(job_id)
        if job.status.is_final:
            return
        try:
            count = await self.kind.plan(job)
            outcomes = [await self.kind.piece(job, index) for index in range(count)]
            await self.book.complete(job_id, await self.kind.finish(job, outcomes))
        except CarillonError as error:
            await self.book.fail(job_id, error.code, error.message)
        await self.kind.ended(await self.book.read(job_id))


class WorkflowWorld:
    """Everything a test may want to reach."""

    def __init__(self, database, directory, catalog=CATALOG):
        self.database = database
        self.runner = Runner(database)
        self.book = self.runner.book
        self.news = JobNews(database)
        self.steps = StepBook(database)
        self.identifier = Identifier()
        self.admission = InMemoryAdmission()
        self.models = Models()
        self.store = MediaStore(
            Blobs(str(directory)), MediaOwnership(database), UrlSigner(PEPPER, 3600), PLANS
        )
        limits = Limits(PLANS)
        self.path = RequestPath(
            self.identifier,
            self.admission,
            limits,
            self.models,
            Salts(),
            SilentTelemetry(),
            prices=PRICES,
        )
        self.workflows = Workflows(
            *(self.path, self.book, self.steps, self.store, self.admission),
            self.admission,
            Versions(DocumentBook(database)),
        )
        self.workflows.catalog = catalog
        self.runner.kind = self.workflows
        headroom = Headroom(self.admission, limits, PRICES)
        admission = RunAdmission(self.admission, self.admission, limits, PRICES)
        runs = WorkflowRuns(
            *(self.path, catalog, self.book, self.steps, self.store),
            *(headroom, admission, WebhookTries(database)),
        )
        self.signer = WebhookSigner(PEPPER)
        parts = (
            WorkflowEndpoints(
                self.path,
                runs,
                self.book,
                self.steps,
                self.news,
                self.store,
                Usage(database),
                PRICES,
                self.signer,
            ),
            WorkflowAliases(self.path, catalog, Readiness(), runs, self.steps, self.store),
            Library(self.path, self.store, 1_000_000),
            Delivery(self.store),
        )
        endpoints = [endpoint for part in parts for endpoint in part.endpoints()]
        self.application = Application(endpoints, "test")

    async def tenant(self, plan="open"):
        """A new tenant's id, which is its key."""
        name = f"flow-{secrets.token_hex(6)}"
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

    @property
    def settlements(self):
        """Of calls: that of a run itself is not among them."""
        events = [each for each in self.admission.events if each.settlement]
        return [e.settlement for e in events if e.ask.details["model"] != "workflow"]

    async def close(self):
        for task in self.runner.tasks.values():
            task.cancel()
        await asyncio.gather(*self.runner.tasks.values(), return_exceptions=True)
        await self.database.aclose()


def say(name, text, **more):
    """A step that has the echo model repeat a text."""
    document = {"messages": [{"role": "user", "content": text}]}
    return {"id": name, "model": "echo", "input": document} | more


async def begun(client, *steps, **more):
    response = await client.post(RUNS, json={"steps": list(steps)} | more)
    assert response.status_code == 200, response.text
    return response.json()


async def ended(client, run):
    async with asyncio.timeout(30):
        while True:
            run = (await client.get(f"{RUNS}/{run['id']}")).json()
            if run["status"] in ("completed", "failed", "cancelled"):
                return run
            await asyncio.sleep(0.02)


async def ran(client, *steps, **more):
    return await ended(client, await begun(client, *steps, **more))


def by_id(run):
    return {step["id"]: step for step in run["steps"]}


async def until(condition, seconds=10.0, pause_s=0.01):
    for _ in range(int(seconds / pause_s)):
        if condition():
            return
        await asyncio.sleep(pause_s)
    raise TimeoutError
