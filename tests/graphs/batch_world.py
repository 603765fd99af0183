"""Batches over real PostgreSQL in this process, and a model that a test scripts.

Jobs run as `graphs.durable` runs them, without what makes it durable: `piece` may be called again,
as after a kill.
"""

import asyncio
import base64
import json
import secrets
from collections import Counter

import orjson

from auth.files import FileBook
from auth.jobs import JobBook
from auth.limits import Limits
from auth.media import MediaOwnership
from core.model import ModelCard, Reply
from core.work import WorkUnits
from graphs.batches import Batches
from ingress.catalog import Catalog
from ingress.fetch import FetchSettings, MediaFetcher
from ingress.media.blobs import Blobs
from ingress.media.lasting import LastingUrls
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from ingress.remote_media import RemoteMedia
from ingress.route_rules import RouteRules
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import NothingUnheard, Salts, SilentTelemetry, principal
from tests.ingress.video_world import PEPPER, PLANS, Identifier, picture

CATALOG = Catalog(
    [
        ModelCard(id="echo", spec="deployments.echo:SPEC", max_output_tokens=50),
        ModelCard(id="starter-image", spec="deployments.image:SPEC"),
        ModelCard(id="starter-vision", spec="deployments.vision:SPEC"),
    ]
)
CHAT, DRAW = "/v1/chat/completions", "/v1/images/generations"
LONGEST = 2_000
"""Bytes of an answer that admission remembers."""
UNITS = WorkUnits(input_tokens=3, output_tokens=2)


class Models(NothingUnheard):
    """Answers chats with what they end with and their number, and pictures with a picture."""

    def __init__(self):
        self.calls = []
        self.asked: Counter[str] = Counter()
        self.errors = {}
        """By text: raised one by one."""
        self.die_at = None
        """A text: whoever asks it never gets an answer."""
        self.reached = asyncio.Event()

    async def answer(self, call, context):
        self.calls.append(call)
        text = _text(call.request)
        self.asked[text] += 1
        await asyncio.sleep(0)
        if text == self.die_at:
            self.reached.set()
            await asyncio.Event().wait()
        if self.errors.get(text):
            raise self.errors[text].pop(0)
        if call.operation_name == "generate":
            data = [{"b64_json": base64.b64encode(picture((16, 16))).decode(), "seed": 1}]
            return Reply(orjson.dumps({"data": data, "output_format": "png"}), UNITS)
        message = {"role": "assistant", "content": f"{text} {self.asked[text]}"}
        return Reply(orjson.dumps({"choices": [{"message": message}]}), UNITS)

    async def stream(self, call, context):
        raise NotImplementedError
        yield


def _text(request):
    if not hasattr(request, "messages"):
        return request.prompt
    content = request.messages[-1].content
    return content if isinstance(content, str) else content[0]["text"]


class BatchWorld:
    """Everything a test may want to reach."""

    def __init__(self, database, directory):
        self.database = database
        self.book = JobBook(database)
        self.files = FileBook(database)
        self.identifier = Identifier()
        self.admission = InMemoryAdmission()
        self.models = Models()
        self.store = MediaStore(
            Blobs(str(directory)), MediaOwnership(database), UrlSigner(PEPPER, 3600), PLANS
        )
        self.path = RequestPath(
            self.identifier,
            self.admission,
            Limits(PLANS),
            self.models,
            Salts(),
            SilentTelemetry(),
        )
        self.batches = self.process()

    def process(self):
        """What a process that takes over begins with."""
        remote = RemoteMedia(MediaFetcher(FetchSettings(allow_private_media_urls=True)))
        batches = Batches(
            self.path,
            self.book,
            self.files,
            self.store,
            RouteRules(LastingUrls(self.store), remote),
            self.admission,
            LONGEST,
        )
        batches.catalog = CATALOG
        return batches

    async def begun(self, lines, endpoint=CHAT):
        """A batch of a new tenant, planned, and how many pieces it has."""
        name = f"batch-{secrets.token_hex(6)}"
        await self.database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, 'open')", name
        )
        self.identifier.plans[name] = "open"
        owner = principal(tenant_id=name, key_id=name, plan="open")
        data = "\n".join(json.dumps(each) for each in lines).encode() or b"\n"
        media = await self.store.put(owner, data, "application/jsonl")
        file = await self.files.add(name, "in.jsonl", "batch", media.hash, media.bytes)
        request = {
            "input_file_id": file.id,
            "endpoint": endpoint,
            "origin": "https://here.example",
        }
        job = await self.book.add(owner, "batch", "batch_", request)
        job = await self.book.begin(job.id)
        return job, await self.batches.plan(job)

    async def piece(self, job, index=0):
        return await self.batches.piece(await self.book.read(job.id), index)

    async def finished(self, job, outcomes):
        """The job's result; by custom id the bodies of its answers, and of its errors."""
        result = await self.batches.finish(await self.book.read(job.id), outcomes)
        answers = await self._lines(job, result["output_file_id"])
        return result, answers, await self._lines(job, result["error_file_id"])

    async def ran(self, lines, endpoint=CHAT):
        job, count = await self.begun(lines, endpoint)
        return await self.finished(job, [await self.piece(job, n) for n in range(count)])

    async def _lines(self, job, file_id):
        if file_id is None:
            return {}
        file = await self.files.find(job.tenant_id, file_id)
        content = await self.store.read(await self.store.find(job.tenant_id, file.hash))
        entries = [json.loads(line) for line in content.splitlines()]
        return {entry["custom_id"]: entry["response"]["body"] for entry in entries}

    @property
    def charged(self):
        """How many calls cost something."""
        settled = [event.settlement for event in self.admission.events if event.settlement]
        return sum(settlement.units.output_tokens > 0 for settlement in settled)


def line(number, text=None, endpoint=CHAT, **body):
    """A chat that says `text`; of the picture's endpoint, a picture of it."""
    text = text or f"n{number}"
    if endpoint == CHAT:
        asked = {"model": "echo", "messages": [{"role": "user", "content": text}]}
    else:
        asked = {"model": "starter-image", "prompt": text}
    return {
        "custom_id": f"line-{number}",
        "method": "POST",
        "url": endpoint,
        "body": asked | body,
    }


def said(body):
    return body["choices"][0]["message"]["content"]
