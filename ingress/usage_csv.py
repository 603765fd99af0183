"""The ledger's rows as CSV (RFC 4180).

Place in the path: beside it, under `/v1/usage/records.csv`. Texts that callers chose never begin a
formula in a spreadsheet. It holds a few rows in memory, however many there are.
"""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from core.work import OTHER_UNITS

CSV_TYPE = "text/csv; charset=utf-8"
COLUMNS = (
    *("request_id", "admitted_at", "settled_at", "status", "status_code", "error_code"),
    *("api_key_id", "user_id", "endpoint", "operation", "model", "revision", "streamed", "cache"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
)
LAST_COLUMNS = (
    "money",
    "currency",
    "prices",
    "exact",
    "response_time_ms",
    "ttft_ms",
    "device_seconds",
)
PIECE_BYTES = 64 * 1024
FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def csv_pieces(records: AsyncIterator[Mapping[str, Any]]) -> AsyncGenerator[bytes, None]:
    """Head and rows, some at a time."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow((*COLUMNS, *OTHER_UNITS, *LAST_COLUMNS))
    async for record in records:
        writer.writerow(_cells(record))
        if lines.tell() > PIECE_BYTES:
            yield lines.getvalue().encode()
            lines.seek(0)
            lines.truncate()
    yield lines.getvalue().encode()


def _cells(record: Mapping[str, Any]) -> list[Any]:
    units = orjson.loads(record["other_units"])
    return [
        *(_cell(record[name]) for name in COLUMNS),
        *(units.get(name, 0) for name in OTHER_UNITS),
        *(_cell(record[name]) for name in LAST_COLUMNS),
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
