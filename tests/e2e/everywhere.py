"""Everything that a cluster keeps, as bytes to search: tables of every schema, Valkey, logs."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

from redis.asyncio import Redis

from tests.e2e.cluster import Cluster

TABLES = """
    SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS name FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""


def forms(secret: str) -> Iterator[bytes]:
    """A secret as it may be written: plain, in hexadecimal, inside base64 wherever it begins."""
    plain = secret.encode()
    yield plain
    yield plain.hex().encode()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + plain)
        yield whole[4 : len(whole) - 4]


async def tables(cluster: Cluster) -> list[str]:
    """Of every schema: ours, and the durable engine's."""
    return [row["name"] for row in await cluster.rows(TABLES)]


async def kept(cluster: Cluster) -> AsyncIterator[tuple[str, bytes]]:
    """Where something is, and what."""
    for table in await tables(cluster):
        for row in await cluster.rows(f"SELECT to_jsonb(t)::text AS row FROM {table} t"):
            yield table, row["row"].encode()
    async with Redis.from_url(cluster.stores["REDIS_URL"]) as redis:
        async for key in redis.scan_iter(count=1_000):
            yield "valkey", key + b" " + await _value(redis, key)
    for log in cluster.logs():
        yield str(log), log.read_bytes()


async def _value(redis: Redis, key: bytes) -> bytes:
    kind: Any = await redis.type(key)
    reads = {
        b"string": lambda: redis.get(key),
        b"hash": lambda: redis.hgetall(key),
        b"set": lambda: redis.smembers(key),
        b"list": lambda: redis.lrange(key, 0, -1),
        b"zset": lambda: redis.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: redis.xrange(key),
    }
    if kind == b"none":
        return b""  # it expired meanwhile
    value = await reads[kind]()
    return value if isinstance(value, bytes) else repr(value).encode()
