"""The role that row-level security binds: what a tenant's statements run as.

Place in the path: start-up, with the migrations; `Database.of` becomes this role in each of its
transactions. The role owns nothing and cannot log in. Which tables show it what is the migrations'
business. Whoever owns the tables, which is who migrates, is not bound: services that serve every
tenant, backups and migrations stay that user (ADR 0025).
"""

from typing import TypeAlias

import asyncpg

from core.errors import SettingsError

ROLE = "carillon_tenant"
POLICY = "tenant_id = nullif(current_setting('carillon.tenant', true), '')"
"""Of every table that carries a tenant. Without a tenant it is null: no row."""

CREATE = "CREATE ROLE carillon_tenant NOLOGIN"
JOIN = "GRANT carillon_tenant TO CURRENT_USER"
BECOME = "SET LOCAL ROLE carillon_tenant"
IS_BOUND = "SELECT row_security_active('tenants')"
TAKEN = (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError)
"""Another database of the same server made the role meanwhile."""

Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"  # generic in its stubs only


async def ensure_role(connection: Session) -> None:
    """Make the role, and see that this user can become it. Call it inside a transaction.

    Raises SettingsError, which says what an administrator has to run, when this user may not.
    """
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
        await _try(connection, CREATE)
    if not await _may_become(connection):
        await _try(connection, JOIN)
    if not await _may_become(connection):
        raise await _needs_help(connection)


async def require_row_security(connection: Session) -> None:
    """See that the role is bound and this user is not: a role that somebody gave more rights, or
    a database of somebody else, would go unnoticed otherwise. Call it inside a transaction.

    Raises SettingsError.
    """
    if await connection.fetchval(IS_BOUND):
        raise SettingsError(
            "the user of DATABASE_URL does not own Carillon's tables: name the user that made them"
        )
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute(BECOME)
        is_bound = await connection.fetchval(IS_BOUND)
    finally:
        await attempt.rollback()
    if not is_bound:
        raise SettingsError(
            f"the role {ROLE} must not be a superuser, have BYPASSRLS, or be a member of others"
        )


async def _may_become(connection: Session) -> bool:
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute(BECOME)
    except asyncpg.InsufficientPrivilegeError:
        return False
    finally:
        await attempt.rollback()
    return True


async def _try(connection: Session, statement: str) -> None:
    """Run it, if this user may and nobody else did."""
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except TAKEN:
        return
    except asyncpg.InsufficientPrivilegeError as error:
        raise await _needs_help(connection) from error


async def _needs_help(connection: Session) -> SettingsError:
    user = await connection.fetchval("SELECT quote_ident(current_user)")
    return SettingsError(
        f"tenants are kept apart by the PostgreSQL role {ROLE}, which the user of DATABASE_URL"
        " cannot make or become. Have an administrator of the server run, once:"
        f" {CREATE}; GRANT {ROLE} TO {user};"
    )
