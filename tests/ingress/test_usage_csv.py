"""The ledger as CSV."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ingress.usage_csv import COLUMNS, LAST_COLUMNS, csv_pieces

ROW = dict.fromkeys((*COLUMNS, *LAST_COLUMNS), None) | {
    "request_id": "r",
    "admitted_at": datetime(2026, 11, 21, tzinfo=UTC),
    "model": '=HYPERLINK("x")',
    "endpoint": "/v1/a,b\n",
    "other_units": '{"audio_ms": 1500}',
    "money": Decimal("0.000000155"),
}


async def records(count: int) -> AsyncIterator[dict[str, Any]]:
    for number in range(count):
        yield ROW | {"request_id": f"r{number}"}


async def test_rows_are_read_back_as_they_were_and_nothing_is_a_formula():
    text = b"".join([piece async for piece in csv_pieces(records(3))]).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["request_id"] for row in rows] == ["r0", "r1", "r2"]
    assert rows[0]["endpoint"] == "/v1/a,b\n"
    assert rows[0]["model"] == "'" + str(ROW["model"])
    assert (rows[0]["audio_ms"], rows[0]["rows"]) == ("1500", "0")
    assert Decimal(rows[0]["money"]) == ROW["money"]
    assert rows[0]["admitted_at"] == "2026-11-21T00:00:00+00:00"


async def test_many_rows_come_in_pieces_and_none_is_a_table_with_a_head():
    pieces = [piece async for piece in csv_pieces(records(5_000))]
    assert len(pieces) > 5
    assert max(map(len, pieces)) < 100_000
    (head,) = [piece async for piece in csv_pieces(records(0))]
    assert head.decode().startswith("request_id,")
    assert head.count(b"\n") == 1
