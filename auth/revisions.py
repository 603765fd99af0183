"""Revisions: a tenant's rights changed, so what gateways remember of them must go.

Place in the path: inside the transaction of every change; `Directory.announce` then renews the
epoch (see `auth/epochs.py`). The row it locks also makes changes of one tenant take turns.
"""

from collections.abc import Awaitable, Callable, Iterable

from auth.database import Connection

Announce = Callable[[], Awaitable[int]]
"""`Directory.announce`, called when a change has committed."""


async def changed(connection: Connection, tenant_ids: Iterable[str]) -> None:
    """Note that the rights in these tenants change with this transaction."""
    ids = sorted(tenant_ids)
    # Two statements: one that locks rows and changes them waits for its own lock, now and then,
    # when others that only refer to the row (a new key) hold it too.
    await connection.execute(
        "SELECT 1 FROM tenants WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", ids
    )
    await connection.execute("UPDATE tenants SET revision = revision + 1 WHERE id = ANY ($1)", ids)
