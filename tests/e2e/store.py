"""What Valkey holds, seen from outside: tests wait for states of it and look for what was left."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NoConnection

from tests.e2e.cluster import Cluster


class Store:
    """Valkey of a cluster, read-only."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def reservations(self, tenant_id: str) -> int:
        """Requests of a tenant that are admitted and not settled."""
        found = [key async for key in self._redis.scan_iter("carillon:reservation:*", 1000)]
        owners = [await self._redis.hget(key, "tenant") for key in found]
        return sum(owner == tenant_id.encode() for owner in owners)

    async def until_free(self, tenant_id: str, within_s: float) -> float:
        """Seconds until nothing of a tenant is admitted and not settled."""
        started = time.monotonic()
        while (taken_s := time.monotonic() - started) < within_s:
            with suppress(NoConnection, OSError):  # it was killed a moment ago
                if not await self.reservations(tenant_id):
                    return taken_s
            await asyncio.sleep(0.05)
        raise AssertionError(f"something is reserved after {within_s} s")

    async def waiting(self) -> int:
        """Events that are not in PostgreSQL yet."""
        return await self._redis.xlen("carillon:usage")

    async def rejected(self) -> int:
        return await self._redis.xlen("carillon:usage-rejected")


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncGenerator[Store]:
    """A connection of its own; it comes back when Valkey does."""
    async with Redis.from_url(cluster.stores["REDIS_URL"]) as redis:
        yield Store(redis)
