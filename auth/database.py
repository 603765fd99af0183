"""PostgreSQL as this project reaches it: one small pool, and one meaning for every outage.

Place in the path: under the directory, the ledger and usage queries. This module holds no SQL.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from pydantic import SecretStr

from core.errors import StoreUnavailable

OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, statement cancelled
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InterfaceError,  # the connection went away under us
    asyncpg.InternalClientError,
)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"  # generic in its stubs only


@contextmanager
def outages_are_unavailable() -> Iterator[None]:
    """Turn every failure of reaching PostgreSQL into StoreUnavailable: never a 401 or a 404."""
    try:
        yield
    except OUTAGES as error:
        raise StoreUnavailable("the database does not answer", retry_after_s=1.0) from error


class Database:
    """A pool of connections, opened when first needed. Belongs to one event loop.

    Every method raises StoreUnavailable when PostgreSQL does not answer within `timeout_s`.

    Args:
        url: PostgreSQL's URL; unix sockets as `postgresql://user@/name?host=/directory`.
        timeout_s: longest wait for a connection, and for a statement.
        connections: how many at most.
    """

    def __init__(self, url: SecretStr, timeout_s: float = 2.0, connections: int = 8) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> None:
        """Run one statement."""
        async with self.connection() as connection:
            await connection.execute(query, *arguments)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for several statements."""
        with outages_are_unavailable():
            pool = await self._opened()
            async with pool.acquire(timeout=self._timeout_s) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back on any error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def aclose(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _opened(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url.get_secret_value(),
                    min_size=0,
                    max_size=self._connections,
                    timeout=self._timeout_s,
                    command_timeout=self._timeout_s,
                )
            return self._pool
