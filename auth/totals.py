"""Usage totals: sums of the ledger by quarter of an hour and by day, tenant, key, user and model.

Place in the path: written by the ledger writer in the transaction that writes the rows, so that
they are always the rows' sums; read by `auth.usage`, so that an answer costs the same however many
requests there were. Every time zone of today is whole quarters of an hour away from UTC, so the
days of every tenant are whole quarters too; sums of whole days, which are UTC's, make long periods
short. This module does not read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from auth.database import Connection

ADD = """
INSERT INTO usage_totals AS known (
    tenant_id, seconds, began, api_key_id, model, user_id, requests, cached, errors,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens,
    characters, pixel_steps, audio_ms, video_pixel_ms, rows,
    money, device_seconds, response_ms, timed)
SELECT
    tenant_id, seconds, date_bin(make_interval(secs => seconds), admitted_at, 'epoch'),
    api_key_id, coalesce(model, ''), coalesce(user_id, ''),
    count(*) FILTER (WHERE is_new),
    count(*) FILTER (WHERE is_new AND cache = 'hit'),
    coalesce(sum(sign) FILTER (WHERE status_code >= 400 OR status = 'abandoned'), 0),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
    coalesce(sum((other_units->>'characters')::bigint), 0),
    coalesce(sum((other_units->>'pixel_steps')::bigint), 0),
    coalesce(sum((other_units->>'audio_ms')::bigint), 0),
    coalesce(sum((other_units->>'video_pixel_ms')::bigint), 0),
    coalesce(sum((other_units->>'rows')::bigint), 0),
    sum(money), sum(device_seconds), coalesce(sum(response_time_ms), 0), count(response_time_ms)
FROM jsonb_to_recordset($1::jsonb) AS event (
    tenant_id text, api_key_id text, user_id text, model text, status text, cache text,
    status_code integer, response_time_ms bigint, device_seconds float8,
    input_tokens bigint, cached_tokens bigint, output_tokens bigint, reasoning_tokens bigint,
    other_units jsonb, money numeric, admitted_at timestamptz, is_new boolean, sign integer)
CROSS JOIN (VALUES (900), (86400)) AS span (seconds)
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 1, 2, 3, 4, 5, 6
ON CONFLICT (tenant_id, seconds, began, api_key_id, model, user_id) DO UPDATE SET
    requests = known.requests + excluded.requests,
    cached = known.cached + excluded.cached,
    errors = known.errors + excluded.errors,
    input_tokens = known.input_tokens + excluded.input_tokens,
    cached_tokens = known.cached_tokens + excluded.cached_tokens,
    output_tokens = known.output_tokens + excluded.output_tokens,
    reasoning_tokens = known.reasoning_tokens + excluded.reasoning_tokens,
    characters = known.characters + excluded.characters,
    pixel_steps = known.pixel_steps + excluded.pixel_steps,
    audio_ms = known.audio_ms + excluded.audio_ms,
    video_pixel_ms = known.video_pixel_ms + excluded.video_pixel_ms,
    rows = known.rows + excluded.rows,
    money = known.money + excluded.money,
    device_seconds = known.device_seconds + excluded.device_seconds,
    response_ms = known.response_ms + excluded.response_ms,
    timed = known.timed + excluded.timed
"""


async def add_to_totals(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows of the ledger to the sums, in the transaction that wrote them.

    Args:
        rows: as they were written. Those with `is_new` count as requests; the others were counted
            when they were admitted, without what they took. Of those that are taken back, `sign`
            is -1, and so are their amounts.
    """
    if rows:
        await connection.execute(ADD, orjson.dumps(rows).decode())
