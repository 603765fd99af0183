"""Whether the books of a tenant balance: windows equal the ledger, and nothing stays reserved."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import asyncpg
import httpx

from tests.e2e.people import Person
from tests.e2e.store import Store

DAY_S = 86_400
NANO = 10**9
TOO_MANY, FAULT = 429, 500

Row = dict[str, Any]


async def balance(
    person: Person,
    store: Store,
    within_s: float = 60,
    wrong: Callable[[list[Row]], list[str]] = lambda _: [],
) -> tuple[list[Row], float]:
    """The tenant's rows once everything agrees, and after how many seconds that was.

    Args:
        wrong: what else is wrong with rows.
    """
    started, found = time.monotonic(), ["nothing was looked at"]
    rows: list[Row] = []
    while found and time.monotonic() - started < within_s:
        try:
            rows = await person.usage_rows()
        except (OSError, asyncpg.PostgresError):  # it was killed a moment ago
            await asyncio.sleep(0.25)
            continue
        found = [*wrong_rows(rows), *wrong(rows), *await wrong_windows(person, rows)]
        if await store.reservations(person.tenant_id):
            found.append("something is reserved")
        if found:
            await asyncio.sleep(0.25)
    assert not found, (found, rows)
    assert await store.rejected() == 0
    return rows, time.monotonic() - started


def wrong_rows(rows: list[Row]) -> list[str]:
    ids = [row["request_id"] for row in rows]
    open_rows = [row["request_id"] for row in rows if row["status"] == "admitted"]
    return ["a row is doubled"] * (len(set(ids)) < len(ids)) + [f"open: {i}" for i in open_rows]


async def wrong_windows(person: Person, rows: list[Row]) -> list[str]:
    """Windows of a day and longer, and what runs at once, against sums over the rows."""
    try:
        async with person.http() as client:
            response = await client.get("/v1/usage")
    except httpx.HTTPError as error:  # a gateway was killed a moment ago
        return [repr(error)]
    if response.status_code != 200:
        return [response.text]
    truth = {
        "requests": Decimal(sum(counts(row) for row in rows)),
        "tokens": Decimal(sum(row["total_tokens"] for row in rows)),
        "money": sum((row["money"] or Decimal(0) for row in rows), Decimal(0)),
        "concurrency": Decimal(0),
    }
    return [
        f"{window['scope']} {window['meter']}: {window['used']}, ledger {truth[window['meter']]}"
        for window in response.json()["windows"]
        if window["seconds"] >= DAY_S or window["meter"] == "concurrency"
        if abs(Decimal(window["used"]) - truth[window["meter"]]) * NANO > Decimal("0.5")
    ]


def counts(row: Row) -> bool:
    """Whether a row's request stays counted: one that failed, or found a full queue, does not."""
    status = row["status_code"]
    return status is None or (status != TOO_MANY and status < FAULT)
