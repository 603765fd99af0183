"""Usage records: the rows of the ledger, and the one statement that writes them.

Place in the path: under the ledger writer. This module turns stream events into rows; it does
not know where events come from.

An event is complete: it repeats what admission knew. So one event is enough to make its row, in
whatever order events arrive, and a row that is settled never changes again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from auth.database import Connection
from auth.plans import NANO

Event = Mapping[bytes, bytes]
Row = dict[str, Any]

TOKEN_COLUMNS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
DETAIL_COLUMNS = (
    *("endpoint", "operation", "model", "revision", "streamed"),
    *("prices", "currency"),
)
OUTCOME_COLUMNS = (
    "status_code",
    "error_code",
    "error_message",
    "response_time_ms",
    "ttft_ms",
    "exact",
)
HIT = {"status_code": 200, "exact": True}

WRITE_ROWS = """
INSERT INTO usage_records AS known (
    request_id, tenant_id, api_key_id, user_id, status, endpoint, operation, model, revision,
    streamed, cache, status_code, error_code, error_message, response_time_ms, ttft_ms,
    device_seconds, exact, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    other_units, money, currency, prices, details, admitted_at, settled_at)
SELECT
    request_id, tenant_id, api_key_id, user_id, status, endpoint, operation, model, revision,
    coalesce(streamed, false), cache, status_code, error_code, error_message, response_time_ms,
    ttft_ms, device_seconds, exact, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    other_units, money, currency, prices, details, admitted_at, settled_at
FROM jsonb_to_recordset($1::jsonb) AS event (
    request_id text, tenant_id text, api_key_id text, user_id text, status text, endpoint text,
    operation text, model text, revision text, streamed boolean, cache text, status_code integer,
    error_code text, error_message text, response_time_ms bigint, ttft_ms bigint,
    device_seconds float8, exact boolean,
    input_tokens bigint, cached_tokens bigint, output_tokens bigint, reasoning_tokens bigint,
    other_units jsonb, money numeric, currency text, prices text, details jsonb,
    admitted_at timestamptz, settled_at timestamptz)
ORDER BY request_id
ON CONFLICT (request_id, admitted_at) DO UPDATE SET
    status = excluded.status, status_code = excluded.status_code,
    error_code = excluded.error_code, error_message = excluded.error_message,
    response_time_ms = excluded.response_time_ms,
    ttft_ms = excluded.ttft_ms, device_seconds = excluded.device_seconds,
    exact = excluded.exact, money = excluded.money, input_tokens = excluded.input_tokens,
    cached_tokens = excluded.cached_tokens, output_tokens = excluded.output_tokens,
    reasoning_tokens = excluded.reasoning_tokens, other_units = excluded.other_units,
    settled_at = excluded.settled_at
WHERE known.status = 'admitted' AND excluded.status <> 'admitted'
"""

TOUCH_KEYS = """
UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at)
FROM (
    SELECT api_key_id AS id, max(admitted_at) AS at
    FROM jsonb_to_recordset($1::jsonb) AS event (api_key_id text, admitted_at timestamptz)
    GROUP BY api_key_id ORDER BY api_key_id
) AS used
WHERE api_keys.id = used.id
"""


def row_of(event: Event) -> Row:
    """The row that one event describes.

    Raises KeyError, ValueError, TypeError or AttributeError for an event that is none.
    """
    kind = event[b"event"].decode()
    record = orjson.loads(event[b"record"])
    details = dict(record["details"])
    outcome = _outcome(kind, event)
    units = dict(outcome.get("units", {}))
    return {
        "request_id": event[b"id"].decode(),
        "tenant_id": record["tenant_id"],
        "api_key_id": record["key_id"],
        "user_id": record["user_id"],
        "status": "settled" if kind == "hit" else kind,
        **{name: details.pop(name, None) for name in DETAIL_COLUMNS},
        "cache": "hit" if kind == "hit" else record["cache"],
        **{name: outcome.get(name) for name in OUTCOME_COLUMNS},
        "device_seconds": outcome.get("device_seconds", 0.0),
        **{name: units.pop(name, 0) for name in TOKEN_COLUMNS},
        "other_units": units,
        "money": _money(event.get(b"money", b"0")),
        "details": details,
        "admitted_at": _time(event[b"admitted_at"]),
        "settled_at": None if kind == "admitted" else _time(event[b"at"]),
    }


def _outcome(kind: str, event: Event) -> Mapping[str, Any]:
    if kind == "admitted":
        return {}
    if kind == "hit":
        return HIT
    if kind == "abandoned":
        return {"exact": False, "units": orjson.loads(event[b"units"])}
    outcome: dict[str, Any] = orjson.loads(event[b"settlement"])
    return outcome


def _money(nano: bytes) -> str:
    """Whole units of money, exactly: a decimal number as text."""
    return str(Decimal(int(nano)) / NANO)


def _time(milliseconds: bytes) -> str:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC).isoformat()


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row per request id: the settled one where there is one."""
    latest: dict[str, Row] = {}
    for row in rows:
        known = latest.get(row["request_id"])
        if known is None or known["status"] == "admitted":
            latest[row["request_id"]] = row
    return list(latest.values())


async def write(connection: "Connection", rows: Sequence[Row]) -> None:
    """Write rows and the keys' last use. Call it inside a transaction; repeating is harmless."""
    document = orjson.dumps(rows).decode()
    await connection.execute(WRITE_ROWS, document)
    await connection.execute(TOUCH_KEYS, document)
