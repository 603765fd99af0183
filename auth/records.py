"""Usage records: the rows of the ledger, and the statements that write them.

Place in the path: under the ledger writer. This module turns stream events into rows; it does
not know where events come from.

An event is complete: it repeats what admission knew. So one event is enough to make its row, in
whatever order events arrive. A row that is settled never changes again; one that was abandoned
does, when somebody tells what really happened.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from auth.database import Connection
from auth.plans import NANO
from auth.totals import add_to_totals

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
STATUSES = ("admitted", "abandoned", "settled")
"""The later ones replace the earlier."""
TAKEN_BACK = {"is_new": False, "sign": -1}

EVENT = """
jsonb_to_recordset($1::jsonb) AS event (
    request_id text, tenant_id text, api_key_id text, user_id text, status text, endpoint text,
    operation text, model text, revision text, streamed boolean, cache text, status_code integer,
    error_code text, error_message text, response_time_ms bigint, ttft_ms bigint,
    device_seconds float8, exact boolean,
    input_tokens bigint, cached_tokens bigint, output_tokens bigint, reasoning_tokens bigint,
    other_units jsonb, money numeric, currency text, prices text, details jsonb,
    admitted_at timestamptz, settled_at timestamptz)
"""
# Two statements, and not one that does either: each says which rows it wrote, so that totals count
# every row once, also when several writers have the same event.
NEW_ROWS = f"""
INSERT INTO usage_records (
    request_id, tenant_id, api_key_id, user_id, status, endpoint, operation, model, revision,
    streamed, cache, status_code, error_code, error_message, response_time_ms, ttft_ms,
    device_seconds, exact, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    other_units, money, currency, prices, details, admitted_at, settled_at)
SELECT
    request_id, tenant_id, api_key_id, user_id, status, endpoint, operation, model, revision,
    coalesce(streamed, false), cache, status_code, error_code, error_message, response_time_ms,
    ttft_ms, device_seconds, exact, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    other_units, money, currency, prices, details, admitted_at, settled_at
FROM {EVENT}
ORDER BY request_id
ON CONFLICT (request_id, admitted_at) DO NOTHING
RETURNING request_id
"""  # noqa: S608  # names of our own columns
ENDED_ROWS = f"""
UPDATE usage_records AS known SET
    status = event.status, status_code = event.status_code,
    error_code = event.error_code, error_message = event.error_message,
    response_time_ms = event.response_time_ms,
    ttft_ms = event.ttft_ms, device_seconds = event.device_seconds,
    exact = event.exact, money = event.money, input_tokens = event.input_tokens,
    cached_tokens = event.cached_tokens, output_tokens = event.output_tokens,
    reasoning_tokens = event.reasoning_tokens, other_units = event.other_units,
    settled_at = event.settled_at
FROM {EVENT}
WHERE known.request_id = event.request_id AND known.admitted_at = event.admitted_at
AND (known.status = 'admitted' OR known.status = 'abandoned'
    AND (event.status = 'settled' OR event.settled_at > known.settled_at))
RETURNING known.request_id
"""  # noqa: S608  # names of our own columns
# What was guessed when a lease ran out, before what is known replaces it.
GUESSED_ROWS = f"""
SELECT known.request_id, known.tenant_id, known.api_key_id, known.user_id, known.model,
    known.status, known.cache, known.device_seconds, known.input_tokens, known.cached_tokens,
    known.output_tokens, known.reasoning_tokens, known.other_units, known.money, known.admitted_at
FROM usage_records AS known JOIN {EVENT}
ON known.request_id = event.request_id AND known.admitted_at = event.admitted_at
WHERE known.status = 'abandoned'
AND (event.status = 'settled' OR event.settled_at > known.settled_at)
ORDER BY known.request_id FOR UPDATE OF known
"""  # noqa: S608  # names of our own columns

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
        "corrects": bool(event.get(b"guessed")),
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
    """One row per request id: the settled one where there is one, else the latest."""
    latest: dict[str, Row] = {}
    for row in rows:
        known = latest.get(row["request_id"])
        if known is None or _finality(row) > _finality(known):
            latest[row["request_id"]] = row
    return list(latest.values())


def without_text(row: Row) -> Row:
    """The same, less what callers and models may have said in their own words."""
    return row | {"error_message": None, "details": {}}


def _finality(row: Row) -> tuple[int, str]:
    return STATUSES.index(row["status"]), row["settled_at"] or ""


async def write(connection: "Connection", rows: Sequence[Row]) -> None:
    """Write rows, what they add to the totals, and the keys' last use.

    Call it inside a transaction; repeating is harmless: only rows that were not there, or had not
    ended, are counted.
    """
    new = {row["request_id"] for row in await connection.fetch(NEW_ROWS, _document(rows))}
    known = [row for row in rows if row["request_id"] not in new and row["status"] != "admitted"]
    ended: set[str] = set()
    guesses: list[Row] = []
    if better := [row for row in known if row.get("corrects")]:
        guessed = await connection.fetch(GUESSED_ROWS, _document(better))
        guesses = [_taken_back(dict(row)) for row in guessed]
    if known:
        ended = {row["request_id"] for row in await connection.fetch(ENDED_ROWS, _document(known))}
    counted = [row | {"is_new": row["request_id"] in new, "sign": 1} for row in rows]
    await add_to_totals(
        connection, [*guesses, *(row for row in counted if row["request_id"] in new | ended)]
    )
    await connection.execute(TOUCH_KEYS, _document(rows))


def _taken_back(guess: Row) -> Row:
    """A guess, as it has to be added to the totals so that they do not have it any more."""
    units = {name: -count for name, count in orjson.loads(guess["other_units"]).items()}
    counts = {name: -guess[name] for name in (*TOKEN_COLUMNS, "device_seconds")}
    money = str(-(guess["money"] or 0))
    return guess | counts | {"other_units": units, "money": money} | TAKEN_BACK


def _document(rows: Sequence[Row]) -> str:
    return orjson.dumps(rows).decode()
