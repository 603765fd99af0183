"""Runs are kept as long as their tenant's plan keeps things."""

import secrets

import pytest

from auth.jobs import JobBook
from auth.old_runs import OldRuns
from auth.plans import Plan
from auth.principal import Principal
from auth.workflow_steps import StepBook, StepRow, StepStatus
from core.errors import NotFound
from graphs.run_retention import RunRetention

PLAN = f"short-{secrets.token_hex(4)}"
PLANS = {PLAN: Plan(PLAN, (), retention_days=30), "open": Plan("open", ())}


async def test_a_run_goes_when_its_plan_keeps_it_no_longer(database):
    book, steps = JobBook(database), StepBook(database)
    jobs = {}
    for name, plan, kind, days in [
        ("old", PLAN, "workflow", 31),
        ("told", PLAN, "webhook", 31),
        ("young", PLAN, "workflow", 29),
        ("running", PLAN, "workflow", None),
        ("video", PLAN, "video", 31),
        ("kept", "open", "workflow", 900),
    ]:
        tenant = f"t-{secrets.token_hex(6)}"
        await database.execute(
            "INSERT INTO tenants (id, name, plan) VALUES ($1, $1, $2)", tenant, plan
        )
        who = Principal(tenant, tenant, plan, "1", frozenset())
        jobs[name] = job = await book.add(who, kind, "x_", {"workflow": {}})
        await steps.record(tenant, job.id, StepRow("a", StepStatus.COMPLETED, output={"text": "x"}))
        if days is not None:
            await book.complete(job.id, {})
            await database.execute(
                "UPDATE jobs SET ended_at = now() - $2 * interval '1 day' WHERE id = $1",
                job.id,
                days,
            )
    retention = RunRetention(OldRuns(database, PLANS))
    assert await retention.sweep() == 2
    assert await retention.sweep() == 0
    for name, job in jobs.items():
        if name in ("old", "told"):
            assert await steps.of_run(job.tenant_id, job.id) == []
            with pytest.raises(NotFound):
                await book.read(job.id)
        else:
            assert (await book.read(job.id)).id == job.id


async def test_a_database_that_is_away_is_waited_for(database):
    class Away:
        async def fetch(self, *_):
            raise NotFound("away")

    assert await RunRetention(OldRuns(Away(), PLANS)).sweep() == 0  # type: ignore[arg-type]
