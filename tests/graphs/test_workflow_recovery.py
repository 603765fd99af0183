"""Runs on real PostgreSQL, Valkey and DBOS, in a process that is killed."""

import asyncio
import secrets
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.jobs import Job, JobBook, JobStatus
from auth.ledger import LedgerWriter
from auth.pipeline import Pipeline
from auth.principal import Principal
from auth.usage import Usage
from auth.workflow_steps import StepBook, StepStatus
from core.settings import ROOT
from core.workflow import Workflow
from ingress.call import CachePolicy
from ingress.workflow_plan import planned
from ingress.workflow_runs import written
from tests.graphs.workflow_process import CATALOG, EPOCH, PATIENCE_S
from tests.ingress.workflow_world import say, until

pytestmark = pytest.mark.timeout(240)
PAUSE_S = 0.1
UNITS = 7
"""Input tokens of each call."""


@dataclass
class Installation:
    """What the test and the process that it kills have in common."""

    postgres: str
    valkey: str
    prefix: str
    directory: Path
    tenant: str
    database: Database
    store: Pipeline

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def book(self) -> JobBook:
        return JobBook(self.database)

    @asynccontextmanager
    async def runner(self):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.graphs.workflow_process",
            self.postgres,
            self.valkey,
            self.prefix,
            str(self.directory / "media"),
            str(self.log),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            assert (await process.stdout.readline()).strip() == b"ready"
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    async def begun(self, *steps, **more) -> Job:
        workflow = Workflow.model_validate({"steps": list(steps)} | more)
        principal = Principal(self.tenant, self.tenant, "open", EPOCH, frozenset())
        request = written(planned(workflow, CATALOG), CachePolicy())
        return await self.book.add(principal, "workflow", "run_", request)

    async def ended(self, job: Job, seconds: float = 120) -> Job:
        for _ in range(int(seconds / PAUSE_S)):
            job = await self.book.read(job.id)
            if job.status.is_final:
                return job
            await asyncio.sleep(PAUSE_S)
        raise TimeoutError

    def called(self, job: Job) -> Counter[str]:
        """How often the model was asked each text."""
        lines = (line.split(" ", 1) for line in self.log.read_text().splitlines())
        return Counter(text for run, text in lines if run == job.id)

    async def rows(self, *jobs: Job):
        """The ledger's, of some runs."""
        writer = LedgerWriter(self.store, self.database, self.prefix)
        while await writer.drain():
            pass
        return await self.database.fetch(
            "SELECT * FROM usage_records WHERE tenant_id = $1 AND details->>'trace_id' = ANY ($2)",
            self.tenant,
            [job.id for job in jobs],
        )


@pytest.fixture
async def installation(database_url, valkey_server, tmp_path):
    database = Database(SecretStr(database_url), PATIENCE_S)
    store = Pipeline(SecretStr(valkey_server.url), PATIENCE_S)
    tenant, prefix = f"t-{secrets.token_hex(4)}", f"test-{secrets.token_hex(4)}"
    await database.execute("INSERT INTO tenants (id, name, plan) VALUES ($1, 'x', 'open')", tenant)
    await store.call("SET", f"{prefix}:epoch:{tenant}", EPOCH)
    (tmp_path / "log").touch()
    yield Installation(database_url, valkey_server.url, prefix, tmp_path, tenant, database, store)
    await database.aclose()
    await store.aclose()


def chain(count: int, slow_at: int):
    """Steps of which each takes the text of the one before."""
    first = say("s0", "0")
    texts = (
        f"${{steps.s{n - 1}.output.text}} {n}" + (" slow" if n == slow_at else "")
        for n in range(1, count)
    )
    return [first, *(say(f"s{n}", text) for n, text in enumerate(texts, start=1))]


async def test_a_killed_process_repeats_no_step_and_the_ledger_is_exact(installation):
    job = await installation.begun(*chain(20, slow_at=12))

    def at_the_slow_step():
        return any(text.endswith(" 12 slow") for text in installation.called(job))

    async with installation.runner() as process:
        await until(at_the_slow_step, 60)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert len(installation.called(job)) == 13
    async with installation.runner():
        end = await installation.ended(job)
    assert end.status is JobStatus.COMPLETED, end
    called = installation.called(job)
    assert len(called) == 20
    assert {text: n for text, n in called.items() if n > 1} == {
        next(text for text in called if text.endswith(" 12 slow")): 2
    }
    steps = await StepBook(installation.database).of_run(installation.tenant, job.id)
    assert [row.status for row in steps] == [StepStatus.COMPLETED] * 20
    rows = await installation.rows(job)
    good = [row for row in rows if row["status_code"] == 200]
    assert {row["request_id"] for row in good} == {row.request_id for row in steps}
    assert [row["input_tokens"] for row in good] == [UNITS] * 20
    (lost,) = [row for row in rows if row["status_code"] != 200]
    assert (lost["status_code"], lost["input_tokens"], lost["money"]) == (503, 0, 0)
    assert {row["status"] for row in rows} == {"settled"}
    usage = await Usage(installation.database).traced(installation.tenant, job.id)
    assert (usage.requests, usage.input_tokens) == (21, 20 * UNITS)
    assert usage.money == sum(row["money"] for row in rows) > 0


async def test_a_process_that_is_killed_again_and_again_repeats_only_what_was_under_way(
    installation,
):
    items = [f"i{n}" for n in range(40)]
    job = await installation.begun(
        say("each", "${item}", map=items), say("end", "${steps.each.output[39].text}")
    )
    for kill_at in (5, 15, 25):
        async with installation.runner() as process:
            await until(lambda at=kill_at: sum(installation.called(job).values()) >= at, 60, 0.002)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with installation.runner():
        end = await installation.ended(job)
    assert end.status is JobStatus.COMPLETED, end
    called = installation.called(job)
    assert set(called) == set(items)
    # Of each life at most eight calls were under way.
    assert sum(called.values()) <= 40 + 3 * 8
    rows = await installation.rows(job)
    steps = await StepBook(installation.database).of_run(installation.tenant, job.id)
    assert {row.status for row in steps} == {StepStatus.COMPLETED}
    # Whatever was answered twice was billed once: the second answer came from the cache.
    assert sum(row["input_tokens"] for row in rows) == UNITS * 40


async def test_a_hundred_runs_at_once_complete(installation):
    async with installation.runner():
        jobs = await asyncio.gather(
            *(
                installation.begun(
                    say("a", f"${{inputs.n}} of {n}"),
                    say("b", "${steps.a.output.text}, left"),
                    say("c", "${steps.a.output.text}, right"),
                    say("d", "${steps.b.output.text} ${steps.c.output.text}"),
                    inputs={"n": n},
                    outputs={"text": "${steps.d.output.text}"},
                )
                for n in range(100)
            )
        )
        ends = [await installation.ended(job, 180) for job in jobs]
    assert {end.status for end in ends} == {JobStatus.COMPLETED}
    texts = [end.result["outputs"]["text"] for end in ends]
    assert texts == [f"{n} of {n}, left {n} of {n}, right" for n in range(100)]
    rows = await installation.rows(*jobs)
    assert len(rows) == 400
    assert sum(row["input_tokens"] for row in rows) == 400 * UNITS
