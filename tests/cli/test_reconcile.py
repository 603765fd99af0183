"""`carillon reconcile` and the nights' figures over HTTP, on real PostgreSQL."""

import asyncio
import secrets
from datetime import date, timedelta
from typing import cast

import httpx
import pytest
from pydantic import SecretStr

from auth.database import Database
from auth.engine_counters import EngineCount, EngineCounters
from auth.ledger import LedgerWriter
from auth.limits import Limits
from auth.principal import Scope
from auth.reconciliation import Reconciliation
from auth.usage import Usage
from auth.valkey import ValkeyAdmission
from cli.failure import Failure
from cli.reconcile import reconcile
from ingress.administration import Administration
from ingress.application import Application
from ingress.path import RequestPath
from tests.fakes.admission import InMemoryAdmission
from tests.fakes.dispatch import (
    KEY,
    OneKeyIdentifier,
    Salts,
    ScriptedDispatcher,
    SilentTelemetry,
    principal,
)

# Years ahead: nobody else's rows are there.
LOST_DAY = date(2100, 1, 1) + timedelta(days=secrets.randbelow(10_000))
IDLE_DAY = LOST_DAY - timedelta(days=20_000)
MODEL = f"m-{secrets.token_hex(4)}"


@pytest.fixture
def lost(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A day on which an engine did more than the ledger knows."""

    async def count() -> None:
        database = Database(SecretStr(database_url))
        count = EngineCount(MODEL, LOST_DAY, 9, {"rows": 4_000}, {"rows": 7}, 1.0)
        await EngineCounters(database).store("r", [count])
        await database.aclose()

    asyncio.run(count())
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


def test_drift_is_shown_and_is_a_failure_beyond_what_is_tolerated(
    lost: str, capsys: pytest.CaptureFixture[str]
):
    assert not reconcile(LOST_DAY.isoformat(), 0.001)
    shown = capsys.readouterr().out
    assert MODEL in shown
    assert "-100.000%" in shown
    assert "4000" in shown
    assert reconcile(LOST_DAY.isoformat(), 1.0)


def test_a_day_without_work_agrees(lost: str):
    assert reconcile(IDLE_DAY.isoformat(), 0.0)


def test_a_day_that_is_none_is_refused():
    with pytest.raises(Failure, match="say the day as 2026-08-31"):
        reconcile("yesterday", 0.0)


@pytest.mark.parametrize(("scope", "status"), [(Scope.ADMIN, 200), (Scope.USAGE, 403)])
def test_what_was_published_is_shown_to_operators_alone(lost: str, scope: Scope, status: int):
    reconcile(LOST_DAY.isoformat(), 1.0)

    async def ask() -> httpx.Response:
        database = Database(SecretStr(lost))
        path = RequestPath(
            OneKeyIdentifier(principal(scopes=frozenset({scope}))),
            InMemoryAdmission(),
            Limits({}),
            ScriptedDispatcher(),
            Salts(),
            SilentTelemetry(),
        )
        administration = Administration(
            path,
            Usage(database),
            cast("ValkeyAdmission", None),
            cast("LedgerWriter", None),
            Reconciliation(database),
        )
        transport = httpx.ASGITransport(Application(administration.endpoints(), "test"))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get(
                "/v1/admin/reconciliation", headers={"authorization": f"Bearer {KEY}"}
            )
        await database.aclose()
        return answer

    answer = asyncio.run(ask())
    assert answer.status_code == status
    if status == 200:
        (drift,) = (each for each in answer.json()["data"] if each["model"] == MODEL)
        assert drift == {
            "date": LOST_DAY.isoformat(),
            "model": MODEL,
            "unit": "rows",
            "engine": 4_000,
            "ledger": 0,
            "difference": -4_000,
            "drift": -1.0,
            "estimated": 0,
            "unbilled": 7,
        }
