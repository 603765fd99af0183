"""Microseconds per admission and settlement, on one connection and through redis-py.

    python -m tests.auth.bench_admission

Prints, for several numbers of concurrent callers, the wall time and this process's CPU time of
one admit and one settle (two scopes, six windows), then the server's own time per script.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hiredis
import redis.asyncio
from pydantic import SecretStr
from redis.exceptions import ResponseError

from auth.admission import Admitted, Ask, Settlement
from auth.limits import Limits
from auth.pipeline import Pipeline
from auth.plans import DAY_S, HOUR_S, MINUTE_S, Meter, Plan, Window
from auth.principal import Principal
from auth.valkey import ValkeyAdmission
from core.work import WorkUnits
from tests.auth.servers import Valkey

PAIRS = 4_000
LIMIT = 10**12
PLAN = Plan(
    "bench",
    (
        *(Window(Meter.REQUESTS, seconds, LIMIT) for seconds in (MINUTE_S, HOUR_S, DAY_S)),
        *(Window(Meter.TOKENS, seconds, LIMIT) for seconds in (MINUTE_S, DAY_S)),
    ),
)
PRINCIPAL = Principal("t", "k", "bench", "e", frozenset(), key_requests_per_hour=LIMIT)
LIMITS = Limits({"bench": PLAN})
DETAILS: dict[str, str | int | bool | None] = {
    "endpoint": "/v1/chat/completions",
    "operation": "chat",
    "model": "starter-chat",
    "revision": "1",
    "streamed": False,
}


class ThroughRedisPy(Pipeline):
    """The same calls over redis-py's asyncio client, for comparison."""

    def __init__(self, url: SecretStr) -> None:
        super().__init__(url)
        self.client = redis.asyncio.Redis.from_url(url.get_secret_value())

    async def send(self, *arguments: Any) -> Any:
        try:
            return await self.client.execute_command(*arguments)
        except ResponseError as error:
            return hiredis.ReplyError(f"NOSCRIPT {error}")

    async def aclose(self) -> None:
        await self.client.aclose()


class EverySecond(Valkey):
    """As `make serve` runs it: the log is synchronised every second."""

    def command(self) -> Sequence[str | Path]:
        return ["everysec" if part == "always" else part for part in super().command()]


async def measure(name: str, store: Pipeline, callers: int) -> None:
    prefix = f"{name}-{callers}"
    admission = ValkeyAdmission(store, prefix)
    await store.call("SET", f"{prefix}:epoch:t", "e")
    numbers = iter(range(PAIRS))

    async def caller() -> None:
        for number in numbers:
            request = str(number)
            scopes, units = LIMITS.scopes(PRINCIPAL), WorkUnits(100, 0, 200)
            ask = Ask(request, PRINCIPAL, scopes, units, f"hash-{number}", details=DETAILS)
            assert isinstance(await admission.admit(ask), Admitted)
            await admission.settle(Settlement(request, WorkUnits(100, 0, 50)))

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(  # noqa: T201
        f"{name:9} {callers:3} callers: {wall / PAIRS * 1e6:4.0f} us wall,"
        f" {cpu / PAIRS * 1e6:4.0f} us client CPU per admit+settle, {PAIRS / wall:5.0f}/s"
    )


async def main(url: SecretStr) -> None:
    for callers in (1, 16, 64):
        for name, kind in (("redis-py", ThroughRedisPy), ("pipeline", Pipeline)):
            store = kind(url)
            await measure(name, store, callers)
            await store.aclose()
    store = Pipeline(url)
    statistics = (await store.call("INFO", "commandstats")).decode().split()
    print(*(line for line in statistics if "evalsha" in line))  # noqa: T201
    await store.aclose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        server = EverySecond(Path(directory) / "v")
        server.start()
        try:
            asyncio.run(main(SecretStr(server.url)))
        finally:
            server.kill()
