"""Milliseconds per usage summary, from sums, and from rows as it would be without them.

    python -m tests.auth.bench_totals [rows]

A year of sums of one tenant whose 20 keys call 3 models in every quarter of an hour: what is read
is the same for two million requests and for a hundred million. Beside it, `rows` rows of the ledger
(500,000), over which one of a summary's four breakdowns is counted.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from auth.database import Database
from auth.migrate import migrate
from auth.months import Months
from auth.usage import By, Usage
from tests.auth.servers import PostgreSQL

TENANT, PATIENCE_S, TRIES = "big", 600.0, 3
SUMS = """
    INSERT INTO usage_totals (tenant_id, seconds, began, api_key_id, model, user_id, requests,
        cached, errors, input_tokens, cached_tokens, output_tokens, reasoning_tokens, characters,
        pixel_steps, audio_ms, video_pixel_ms, rows, money, device_seconds, response_ms, timed)
    SELECT $1, $2::int, began, 'k' || key, 'm' || model, 'u' || key, 58, 3, 1, 1800, 40, 4100,
        0, 0, 0, 0, 0, 0, 0.0058, 1.5, 6960, 58
    FROM generate_series(now() - interval '366 days', now(), make_interval(secs => $2::int))
            AS moment,
        LATERAL (SELECT date_bin(make_interval(secs => $2::int), moment, 'epoch') AS began) AS bin,
        generate_series(1, 20) AS key, generate_series(1, 3) AS model
"""
ROWS = """
    INSERT INTO usage_records (request_id, tenant_id, api_key_id, user_id, status, model, cache,
        status_code, response_time_ms, exact, input_tokens, output_tokens, other_units, money,
        admitted_at, settled_at)
    SELECT 'r' || n, $1, 'k' || n % 20, 'u' || n % 20, 'settled', 'm' || n % 3, 'miss', 200, 120,
        true, 31, 70, '{}', 0.0001, at, at
    FROM generate_series(1, $2::int) AS n,
        LATERAL (SELECT now() - n * (interval '30 days' / $2::int) AS at) AS moment
"""
COUNTED = """
    SELECT model, count(*), count(*) FILTER (WHERE status_code >= 400), sum(input_tokens),
        sum(output_tokens), sum((other_units->>'rows')::bigint), sum(money), avg(response_time_ms)
    FROM usage_records WHERE admitted_at >= $1 AND tenant_id = $2 GROUP BY 1
"""


def report(line: str) -> None:
    sys.stdout.write(line + "\n")


async def best_ms(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return 1000 * min(times)


async def measure(url: str, rows: int) -> None:
    database = Database(SecretStr(url), PATIENCE_S, connections=1)
    await Months(database).prepare()
    for seconds in (900, 86_400):
        await database.execute(SUMS, TENANT, seconds)
    await database.execute(ROWS, TENANT, rows)
    await database.execute("ANALYZE")
    usage, until = Usage(database), datetime.now(UTC) + timedelta(minutes=1)
    for days in (1, 30, 365):
        since = until - timedelta(days=days)
        ms = await best_ms(lambda: usage.summary(TENANT, since, until))  # noqa: B023  # used at once
        report(f"{ms:8.0f} ms  summary of {days} days")
        for zone in ("UTC", "Asia/Kolkata"):
            ms = await best_ms(lambda: usage.daily(TENANT, since, until, By.MODEL, zone))  # noqa: B023
            report(f"{ms:8.0f} ms  {days} days by model, {zone}")
    ms = await best_ms(lambda: database.fetch(COUNTED, until - timedelta(days=30), TENANT))
    report(f"{ms:8.0f} ms  one breakdown of 30 days, counted over {rows} rows")
    await database.aclose()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir="/tmp"))
    directory.chmod(0o755)
    server = PostgreSQL(directory / "pg")
    server.start()
    try:
        url = server.create_database("bench")
        migrate(url)
        asyncio.run(measure(url, rows))
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
