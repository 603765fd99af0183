"""Two tenants over HTTP, and one model that does a few calls at once and ends them when told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from ray import serve

from auth.limits import Limits
from auth.plans import Plan
from core.errors import InvalidKey
from core.model import CallContext, Chunk, ModelCard, Reply
from core.work import WorkUnits
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.dispatch import ServeDispatcher
from ingress.openai import OpenAI
from ingress.path import RequestPath
from ingress.readiness import ApplicationState, Intake, Readiness
from ingress.turns import Turns
from ingress.waking import Waking
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import Salts, SilentTelemetry, principal

CHAT = "/v1/chat/completions"
PLANS = {"free": Plan("free", ()), "enterprise": Plan("enterprise", (), weight=16)}
CARD = ModelCard(id="echo", spec="deployments.echo:SPEC", max_output_tokens=20)


class Tenants:
    """Knows one key for each tenant: `ck-<tenant>`."""

    def __init__(self):
        self.plans = {"loud": "free", "quiet": "free", "big": "enterprise"}

    async def identify(self, key):
        tenant = key.removeprefix("ck-")
        if tenant not in self.plans:
            raise InvalidKey("no")
        return principal(tenant_id=tenant, key_id=key, plan=self.plans[tenant])

    async def is_current(self, principal):
        return True

    def forget(self, key, stale): ...


class Running:
    """What a handle returns for a call: awaited for an answer, iterated for a stream."""

    def __init__(self, model: "Model", context: CallContext):
        self.context = context
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._model = model
        self._left = 2

    def __await__(self):
        yield from self.end.__await__()
        return Reply(b'{"ok":true}', WorkUnits(input_tokens=50, output_tokens=1))

    async def __anext__(self) -> Chunk:
        self._left -= 1
        if not self._left:
            await self.end
        return Chunk(b"data: x\n\n", WorkUnits(output_tokens=1), last=not self._left)

    def cancel(self):
        self._model.running.remove(self)


class Model:
    """Serve's handle of a model, and the model."""

    def __init__(self):
        self.running: list[Running] = []
        self.seen: list[str] = []
        self.most = 0
        self.answer = self.stream = self

    def options(self, **_):
        return self

    def remote(self, _operation, _request, context: CallContext) -> Running:
        call = Running(self, context)
        self.running.append(call)
        self.seen.append(context.isolation.removeprefix("salt-of-"))
        self.most = max(self.most, len(self.running))
        return call

    async def round(self):
        """One service time: all that runs at this moment ends."""
        ended, self.running = self.running, []
        for call in ended:
            call.end.set_result(None)
        await settle()


class Busy:
    def __init__(
        self,
        http: httpx.AsyncClient,
        admission: InMemoryAdmission,
        model: Model,
        watch: "QuietWatch",
    ):
        self.http, self.admission, self.model, self.watch = http, admission, model, watch
        self.readiness = Readiness()
        self.dispatcher: ServeDispatcher
        self._posted = 0

    def post(self, tenant: str, **fields) -> asyncio.Task[httpx.Response]:
        self._posted += 1
        content = fields.pop("content", f"{tenant} {self._posted}")
        body = {"model": "echo", "messages": [{"role": "user", "content": content}]} | fields
        headers = {"authorization": f"Bearer ck-{tenant}"}
        return asyncio.create_task(self.http.post(CHAT, json=body, headers=headers))

    async def queue_of(self, count: int):
        """Until so many wait for their turn, however slow the machine is."""
        async with asyncio.timeout(30):
            while self.watch.count < count:
                await settle()


async def settle():
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


class QuietWatch(SilentTelemetry):
    count = 0

    def waiting(self, model, count):
        self.count = count

    def waited(self, model, wait_ms): ...


@asynccontextmanager
async def busy_world(monkeypatch, at_once: int, queue: int, replicas: int = 1) -> AsyncIterator:
    admission, model, telemetry = InMemoryAdmission(), Model(), QuietWatch()
    monkeypatch.setattr(serve, "get_app_handle", lambda _: model)
    limits, readiness = Limits(PLANS), Readiness()
    state = ApplicationState("RUNNING", "", replicas, 0.0, Intake(replicas, 1, at_once, queue))
    readiness.applications = {"echo": state}
    turns = Turns(readiness, limits.weight, telemetry)
    dispatcher = ServeDispatcher(readiness, Waking(readiness, 0.05), turns, 30)
    path = RequestPath(Tenants(), admission, limits, dispatcher, Salts(), telemetry)
    application = Application(OpenAI(path, Catalog([CARD])).endpoints(), "test")
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as http:
        busy = Busy(http, admission, model, telemetry)
        busy.readiness, busy.dispatcher = readiness, dispatcher
        yield busy
