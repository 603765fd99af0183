"""`carillon reconcile`: a day of the ledger against what engines counted.

Place: operators run it when they doubt the night's figures, or for a day that is not over; it
publishes what it finds in place of earlier figures. What is compared is `auth.reconciliation`'s.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from rich.table import Table

from auth.database import Database
from auth.reconciliation import Drift, Reconciliation, beyond
from cli.failure import Failure
from cli.screen import OUT
from core.settings import StoreSettings

STATEMENT_S = 600.0


def reconcile(text: str | None, tolerance: float) -> bool:
    """Show and publish a day's drift; whether all of it is within `tolerance`.

    Raises Failure, StoreUnavailable.
    """
    day = _day(text)
    drifts = asyncio.run(_published(day))
    if not drifts:
        OUT.print(f"Nobody worked on {day} (UTC).")
        return True
    worst = beyond(drifts, tolerance)
    OUT.print(_table(drifts, worst))
    verdict = f"{len(worst)} of {len(drifts)} drift by more than" if worst else "All are within"
    OUT.print(f"{day} (UTC): {verdict} {tolerance:.2%}.")
    return not worst


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Failure(f"say the day as 2026-08-31, not {text!r}") from error


async def _published(day: date) -> list[Drift]:
    database = Database(StoreSettings().database_url.resolve(), STATEMENT_S, connections=1)
    try:
        return await Reconciliation(database).publish(day)
    finally:
        await database.aclose()


def _table(drifts: Sequence[Drift], worst: Sequence[Drift]) -> Table:
    table = Table("model", "unit")
    for title in ("engines", "ledger", "drift", "estimated", "not billed"):
        table.add_column(title, justify="right")
    for drift in drifts:
        counts = (
            drift.engine,
            drift.ledger,
            f"{drift.ratio:+.3%}",
            drift.estimated,
            drift.unbilled,
        )
        style = "red" if drift in worst else None
        table.add_row(drift.model, drift.unit, *map(str, counts), style=style)
    return table
