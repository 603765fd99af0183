"""`/health`: balancers take a gateway out when it cannot serve, and not before."""

import asyncio

import httpx
import pytest

from core.errors import StoreUnavailable
from ingress.application import Application
from ingress.catalog import Catalog
from ingress.health import Health
from ingress.readiness import Readiness
from tests.ingress.test_path import World


async def answers(): ...


async def is_away():
    raise StoreUnavailable("it does not answer")


async def hangs():
    await asyncio.sleep(60)


async def ledger():
    return {}


async def health(valkey, postgresql):
    checks = {"valkey": valkey, "postgresql": postgresql}
    part = Health(World().path, Catalog([]), Readiness(), checks, ledger)
    transport = httpx.ASGITransport(Application(part.endpoints(), "test"))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/health")


@pytest.mark.parametrize(
    ("valkey", "postgresql", "code", "status"),
    [
        (answers, answers, 200, "healthy"),
        (answers, is_away, 200, "degraded"),
        (is_away, answers, 503, "unhealthy"),
        (is_away, is_away, 503, "unhealthy"),
    ],
)
async def test_only_valkey_decides_whether_requests_are_served(valkey, postgresql, code, status):
    answer = await health(valkey, postgresql)
    assert (answer.status_code, answer.json()["status"]) == (code, status)
    parts = {"valkey": valkey, "postgresql": postgresql}
    assert answer.json()["services"] == {
        name: "healthy" if check is answers else "store_unavailable"
        for name, check in parts.items()
    }


async def test_a_store_that_hangs_does_not_hold_the_answer_back(monkeypatch):
    monkeypatch.setattr("ingress.health.PATIENCE_S", 0.05)
    answer = await asyncio.wait_for(health(answers, hangs), 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert (await health(hangs, answers)).status_code == 503
