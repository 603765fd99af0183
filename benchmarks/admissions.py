"""Admissions and settlements, from a driver process that owns a Valkey as `carillon up` starts it.

    python -m benchmarks.admissions

For each number of requests a second that it reads it admits and settles so many for a while, at
random moments as independent callers do, and writes the 99th percentile of an admission in
milliseconds: from the moment a request was due, so that a late start counts. No HTTP, no model.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from pydantic import SecretStr

from auth.admission import Admitted, Ask, Settlement
from auth.limits import Limits
from auth.pipeline import Pipeline
from auth.plans import DAY_S, HOUR_S, MINUTE_S, Meter, Plan, Window
from auth.principal import Principal
from auth.valkey import ValkeyAdmission
from benchmarks.driver import Driver, answer
from cli.embedded import Valkey
from cli.short_paths import ShortPaths
from core.work import WorkUnits

SECONDS = 8.0
TENANTS = 100
PERCENTILE = 0.99
LIMIT = 10**12
PLAN = Plan(
    "bench",
    (
        *(Window(Meter.REQUESTS, seconds, LIMIT) for seconds in (MINUTE_S, HOUR_S, DAY_S)),
        *(Window(Meter.TOKENS, seconds, LIMIT) for seconds in (MINUTE_S, DAY_S)),
        Window(Meter.MONEY, DAY_S, LIMIT),
        Window(Meter.CONCURRENCY, 0, LIMIT),
    ),
)
PRINCIPALS = [
    Principal(f"t{n}", f"k{n}", "bench", "e", frozenset(), key_requests_per_hour=LIMIT)
    for n in range(TENANTS)
]
PRICES = {"input_tokens": 150_000, "output_tokens": 600_000}
DETAILS: dict[str, str | int | bool | None] = {
    "endpoint": "/v1/chat/completions",
    "operation": "chat",
    "model": "starter-chat",
    "revision": "1",
    "streamed": False,
}


class Admissions(Driver):
    """The driver process, seen from the benchmark."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(["benchmarks.admissions"], {}, scratch / "admissions.log")

    def p99_ms(self, per_second: int) -> float:
        """99th percentile of an admission, while so many a second are admitted and settled."""
        return self.p50_ms(str(per_second))


async def _one(
    admission: ValkeyAdmission, limits: Limits, number: int, due: float, waited: list[float]
) -> None:
    principal = PRINCIPALS[number % TENANTS]
    request = f"r{number}"
    ask = Ask(
        request,
        principal,
        limits.scopes(principal),
        WorkUnits(100, 0, 200),
        f"hash-{number}",
        details=DETAILS,
        prices=PRICES,
    )
    assert isinstance(await admission.admit(ask), Admitted)
    waited.append(time.perf_counter() - due)
    await admission.settle(Settlement(request, WorkUnits(100, 0, 50)))


async def _p99_s(admission: ValkeyAdmission, per_second: int, numbers: range) -> float:
    limits = Limits({"bench": PLAN})
    chance = random.Random(per_second)
    waited: list[float] = []
    due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in numbers:
            due += chance.expovariate(per_second)
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            group.create_task(_one(admission, limits, number, due, waited))
    return sorted(waited)[int(PERCENTILE * len(waited))]


async def _serve(url: str) -> None:
    store = Pipeline(SecretStr(url))
    admission = ValkeyAdmission(store, "bench")
    for principal in PRINCIPALS:
        await store.call("SET", f"bench:epoch:{principal.tenant_id}", "e")
    loop = asyncio.get_running_loop()
    first = 0
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        count = int(int(line) * SECONDS)
        answer([await _p99_s(admission, int(line), range(first, first + count))])
        first += count


def _main() -> None:
    with tempfile.TemporaryDirectory(prefix="carillon-admissions-") as directory:
        server = Valkey(Path(directory), ShortPaths(Path(directory)))
        child = server.start()
        try:
            asyncio.run(_serve(server.url))
        finally:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    _main()
