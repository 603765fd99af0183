"""Callers of a sleeping model: they wait for it, or are told how far it is."""

import asyncio
import time
from dataclasses import replace

import orjson
import pytest

from core.errors import ModelLoading
from core.model import ModelCard
from ingress import readiness as readiness_module
from ingress.readiness import ApplicationState, Readiness
from ingress.rendering import openai_body, render
from ingress.waking import Waking

CARD = ModelCard(id="painter", spec="deployments.echo:SPEC", wake_s=10)
ASLEEP = ApplicationState("RUNNING", "", 0, 0.0)
AWAKE = replace(ASLEEP, replicas=1)


@pytest.fixture
async def cluster(monkeypatch):
    """What the controller says, and a readiness that polls it."""
    states = {"painter": ASLEEP}
    monkeypatch.setattr(readiness_module, "_poll", lambda: dict(states))
    monkeypatch.setattr(readiness_module, "WAKE_POLL_S", 0.01)
    readiness = Readiness()
    polling = asyncio.create_task(readiness.run())
    assert not await readiness.until_serving("painter", 0.2)
    yield states, readiness
    polling.cancel()


async def test_callers_wait_until_a_replica_runs(cluster):
    states, readiness = cluster
    waking = Waking(readiness, patience_s=30)
    assert waking.is_asleep(CARD)
    herd = [asyncio.create_task(waking.wait(CARD)) for _ in range(50)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in herd)
    states["painter"] = AWAKE
    async with asyncio.timeout(5):
        await asyncio.gather(*herd)
    assert not waking.is_asleep(CARD)


async def test_a_model_that_starts_can_be_called_when_it_sleeps(cluster):
    states, readiness = cluster
    states["painter"] = replace(ASLEEP, status="DEPLOYING")
    assert not await readiness.until_serving("painter", 0.2)
    waiting = asyncio.create_task(readiness.until_callable("painter", 30))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    states["painter"] = ASLEEP
    async with asyncio.timeout(5):
        assert await waiting
    assert not await readiness.until_serving("painter", 0.1)


async def test_an_impatient_caller_is_told_progress_and_when_to_retry(cluster):
    _, readiness = cluster
    waking = Waking(readiness, patience_s=0.05)
    with pytest.raises(ModelLoading) as failure:
        await waking.wait(CARD)
    response = render(failure.value, openai_body, {})
    body = orjson.loads(response.body)
    assert response.status_code == 503
    assert body["error"]["code"] == "model_loading"
    assert 0 < body["loading"]["progress"] < 0.5
    assert 9 < body["loading"]["eta_seconds"] <= 10
    assert response.headers["retry-after"] == "10"


async def test_the_estimate_is_what_the_last_load_took(cluster):
    states, readiness = cluster
    waking = Waking(readiness, patience_s=30)
    waiting = asyncio.create_task(waking.wait(CARD))
    await asyncio.sleep(0.05)
    states["painter"] = AWAKE
    await waiting
    states["painter"] = ASLEEP
    began = time.monotonic()
    assert (waking.loading(CARD).retry_after_s or 0) <= 1.0
    assert time.monotonic() - began < 1


async def test_a_load_that_outlasted_every_caller_is_over_when_a_replica_runs(cluster):
    states, readiness = cluster
    waking = Waking(readiness, patience_s=0.05)
    with pytest.raises(ModelLoading):
        await waking.wait(CARD)
    states["painter"] = AWAKE
    assert await readiness.until_serving("painter", 5)
    again = waking.loading(CARD)  # asleep again, later
    assert (again.retry_after_s or 0) <= 1.0  # not what is left of ten, begun long ago
    assert again.progress < 0.5
