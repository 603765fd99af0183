"""A process that runs workflows, for tests that kill it.

`python -m tests.graphs.workflow_process POSTGRES VALKEY PREFIX MEDIA LOG`. All of it is real but
the model, which writes each call's text into LOG, and takes long for texts that say so, the first
time.
"""

import asyncio
import secrets
import sys
from pathlib import Path

import orjson
from pydantic import SecretStr

from auth.database import Database
from auth.documents import DocumentBook
from auth.job_news import Watch
from auth.jobs import JobBook
from auth.limits import Limits
from auth.media import MediaOwnership
from auth.pipeline import Pipeline
from auth.plans import Plan
from auth.prices import PriceBook
from auth.principal import Principal, Scope
from auth.promises import ValkeyPromises
from auth.valkey import ValkeyAdmission
from auth.workflow_steps import StepBook
from core.model import ModelCard, Reply
from core.work import WorkUnits
from graphs.orchestrator.versions import Versions
from graphs.orchestrator.workflows import Workflows
from ingress.catalog import Catalog
from ingress.media.blobs import Blobs
from ingress.media.signing import UrlSigner
from ingress.media.store import MediaStore
from ingress.path import RequestPath
from tests.fakes.dispatch import NothingUnheard, Salts, SilentTelemetry
from tests.graphs.job_process import running_jobs

PLANS = {"open": Plan("open", ())}
PRICES = PriceBook(models={"echo": {"input_tokens": 1_000_000}})
CATALOG = Catalog([ModelCard(id="echo", spec="deployments.echo:SPEC", max_output_tokens=50)])
PATIENCE_S = 20.0
SLOW_S = 60.0
EPOCH = "epoch"
PLACES = 1_000
"""Runs that other tests left in this database take some of them."""


class KeyIsTenant:
    """A key's id is its tenant."""

    async def identify(self, key: str) -> Principal:
        return Principal(key, key, "open", EPOCH, frozenset({Scope.INFERENCE}))

    def forget(self, key: str, stale: Principal) -> None: ...

    async def is_current(self, principal: Principal) -> bool:
        return True


class Noting(NothingUnheard):
    """A model that writes down what it is asked."""

    def __init__(self, log: Path) -> None:
        self.log = log

    async def answer(self, call, context) -> Reply:
        text = call.request.messages[-1].content
        with self.log.open("a") as file:
            file.write(f"{call.trace_id} {text}\n")
        if text.endswith("slow") and self.log.read_text().count(f"{call.trace_id} {text}\n") == 1:
            await asyncio.sleep(SLOW_S)
        body = {"choices": [{"message": {"content": text}}]}
        return Reply(orjson.dumps(body), WorkUnits(input_tokens=7))

    async def stream(self, call, context):
        raise NotImplementedError
        yield


async def main(postgres: str, valkey: str, prefix: str, media: str, log: str) -> None:
    database = Database(SecretStr(postgres), PATIENCE_S)
    book = JobBook(database)
    pipeline = Pipeline(SecretStr(valkey), PATIENCE_S)
    admission = ValkeyAdmission(pipeline, prefix)
    path = RequestPath(
        KeyIsTenant(),
        admission,
        Limits(PLANS),
        Noting(Path(log)),
        Salts(),
        SilentTelemetry(),
        prices=PRICES,
    )
    signer = UrlSigner(SecretStr(secrets.token_hex(16)), 60)
    store = MediaStore(Blobs(media), MediaOwnership(database), signer, PLANS)
    url = SecretStr(postgres)
    promises = ValkeyPromises(pipeline, prefix)
    steps = StepBook(database)
    versions = Versions(DocumentBook(database))
    kind = Workflows(path, book, steps, store, admission, promises, versions)
    kind.catalog = CATALOG
    starter = await running_jobs(database, url, {kind.name: kind}, PLACES, Watch())
    print("ready", flush=True)  # noqa: T201  # what the test waits for
    await starter.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6]))
