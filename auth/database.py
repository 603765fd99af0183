"""PostgreSQL as this project reaches it: one small pool, and one meaning for every outage.

Place in the path: under the directory, the ledger and usage queries. What is done for one tenant
goes through `Database.of`, where PostgreSQL itself shows nothing of the others (row-level security,
ADR 0025). `Database`'s own statements see every tenant: `tests/auth/test_sql.py` names each
function that uses them, and why. This module holds no SQL but the choice of a tenant.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
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
    asyncpg.ReadOnlySQLTransactionError,  # a standby, while another server takes over
    asyncpg.InterfaceError,  # the connection went away under us
    asyncpg.InternalClientError,
)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"  # generic in its stubs only

ACT_FOR = (
    "SELECT set_config('role', 'carillon_tenant', true), set_config('carillon.tenant', $1, true)"
)
"""Both end with the transaction, whatever becomes of the connection."""


@contextmanager
def outages_are_unavailable() -> Iterator[None]:
    """Turn every failure of reaching PostgreSQL into StoreUnavailable: never a 401 or a 404."""
    try:
        yield
    except OUTAGES as error:
        raise StoreUnavailable("the database does not answer", retry_after_s=1.0) from error


async def _nothing_to_reset(connection: object) -> None:
    """Between two users of a connection. Transactions that were left open are rolled back without
    it; settings and locks here end with their transaction, and asking for more is a round trip more
    for every statement.
    """


class Database:
    """A pool of connections, opened when first needed. Belongs to one event loop.

    Its statements see every tenant; those of `of(tenant_id)` see one. Every method raises
    StoreUnavailable when PostgreSQL does not answer within `timeout_s`.

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

    def of(self, tenant_id: str) -> "TenantDatabase":
        """The database as one tenant may see it."""
        return TenantDatabase(self.transaction, tenant_id)

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
                    reset=_nothing_to_reset,
                )
            return self._pool


class TenantDatabase:
    """One tenant's rows, and nothing else, whatever a statement says.

    Every statement runs in a transaction, as a role that row-level security binds and that owns
    nothing. A row of another tenant cannot be read, changed or made; writing one raises
    asyncpg.InsufficientPrivilegeError.

    Args:
        transaction: begins a transaction on a connection of the pool.
        tenant_id: whose rows; with an empty one there are none.
    """

    def __init__(
        self, transaction: Callable[[], AbstractAsyncContextManager[Connection]], tenant_id: str
    ) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows."""
        async with self.transaction() as connection:
            return await connection.fetch(query, *arguments)

    async def row(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row, or None."""
        async with self.transaction() as connection:
            return await connection.fetchrow(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> None:
        """Run one statement."""
        async with self.transaction() as connection:
            await connection.execute(query, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection for several statements: committed at the end, rolled back on any error."""
        async with self._transaction() as connection:
            await connection.execute(ACT_FOR, self._tenant_id)
            yield connection
