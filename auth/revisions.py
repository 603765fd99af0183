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
    await connection.execute(
        "UPDATE tenants SET revision = revision + 1 WHERE id IN"
        " (SELECT id FROM tenants WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE)",
        sorted(tenant_ids),
    )
