"""A gateway with the voice graph, served on a port of this process, and OpenAI's client for it.

The graph and the ear are real replicas over models of `tests.fakes.voice`; admission is in memory.
"""

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest
import uvicorn

from core.model import ModelCard
from graphs.model import ModelArgs, Replica
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.realtime.endpoint import RealtimeEndpoints
from ingress.realtime.places import Places
from ingress.realtime.settings import RealtimeSettings
from ingress.strangers import Strangers
from ingress.voice import VoiceEndpoints
from tests.fakes.dispatch import KEY, NothingUnheard, principal
from tests.fakes.voice import ENGINE, Ear, Mouth, Steps, echo
from tests.graphs.test_model import Told
from tests.ingress.test_path import World

CARDS = [
    ModelCard(
        id="starter-voice",
        spec="graphs.voice:SPEC",
        max_output_tokens=100,
        aliases=("gpt-realtime",),
    ),
    ModelCard(id="ear", spec="deployments.transcription:SPEC", aliases=("whisper-1",)),
    ModelCard(id="echo", spec="deployments.echo:SPEC"),
]


class Replicas(NothingUnheard):
    """Step 4 without Serve: replicas in this process."""

    def __init__(self, **replicas):
        self.replicas = replicas
        self.requests = []

    async def answer(self, call, context):
        self.requests.append(call.request)
        return await self.replicas[call.model.card.id].answer(
            call.operation_name, call.request, context
        )

    async def stream(self, call, context):
        self.requests.append(call.request)
        chunks = self.replicas[call.model.card.id].stream(
            call.operation_name, call.request, context
        )
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()


@contextmanager
def voice_replica(steps, **engine):
    """The voice graph's replica over `steps`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graphs.voice.graph.Step", steps)
        replica = Replica(ModelArgs(spec="graphs.voice:SPEC", engine=ENGINE | engine))
        patch.setattr(replica, "orphans", Told())
        yield replica


class EarReplica(Replica):
    """A transcription model's replica, without the weights."""

    def __init__(self, ear):
        self._ear = ear

    async def stream(self, operation, request, call=None):
        chunks = [chunk async for chunk in getattr(self._ear, f"{operation}_stream")(request, call)]
        for chunk in chunks:
            yield chunk._replace(last=chunk is chunks[-1])


@dataclass
class Served:
    """A world that is listening."""

    world: World
    ear: Ear
    mouth: Mouth
    voice: Replica
    dispatcher: Replicas
    places: Places
    application: Application
    refused: list[tuple[str, int]]
    """Paths and statuses of connections that were refused, or broke."""
    port: int = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def openai(self, key=KEY) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=key, base_url=self.base_url, max_retries=0)

    @asynccontextmanager
    async def connected(self, session: dict[str, Any] | None = None, model="gpt-realtime"):
        """A conversation by OpenAI's client; without turn detection unless `session` says so."""
        async with (
            self.openai() as client,
            client.realtime.connect(model=model) as connection,
        ):
            assert (await connection.recv()).type == "session.created"
            changed: Any = {"audio": {"input": {"turn_detection": None}}}
            changed = {"type": "realtime"} | (changed if session is None else session)
            await connection.session.update(session=changed)
            assert (await connection.recv()).type == "session.updated"
            yield connection

    def units(self):
        return [settlement.units for settlement in self.world.settlements()]


class Nobody:
    """Remembers no key."""

    def remembers(self, key: str) -> bool:
        return False


@asynccontextmanager
async def served(who=None, word_ms=0.0, sentence_s=0.0, limits=None, texts=()):
    """A gateway on a free port."""
    world = World(who or principal(plan="wide"))
    ear, mouth = Ear(*texts), Mouth(sentence_s)
    with voice_replica(Steps(ear=ear, chat=echo(word_ms), mouth=mouth)) as voice:
        dispatcher = Replicas(**{"starter-voice": voice, "ear": EarReplica(ear)})
        world.path._dispatcher = dispatcher
        catalog, places = Catalog(CARDS), Places(limits or RealtimeSettings())
        refused: list[tuple[str, int]] = []
        application = Application(
            VoiceEndpoints(world.path, catalog).endpoints(),
            "test",
            RealtimeEndpoints(world.path, catalog, places, Strangers(Nobody())).sockets(),
            socket_report=lambda _, path, status: refused.append((path, status)),
        )
        found = Served(world, ear, mouth, voice, dispatcher, places, application, refused)
        async with listening(application) as found.port:
            yield found


@asynccontextmanager
async def listening(application):
    """The port that `application` is served on, as Serve serves it."""
    server = uvicorn.Server(
        uvicorn.Config(application, "127.0.0.1", 0, lifespan="off", log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving


async def until(connection, kind):
    """Events up to the first of `kind`, in order."""
    seen = []
    async with asyncio.timeout(10):
        while True:
            event = await connection.recv()
            seen.append(event)
            if event.type == kind:
                return seen
