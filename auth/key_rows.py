"""Rows of API keys: how a key is written and read back, without its secret.

Place in the path: under `auth.api_keys` and `auth.key_principals`. It decides nothing.
"""

import asyncpg

from auth import own_limits
from auth.accounts import ApiKey, IssuedKey, KeyGrant
from auth.database import Connection
from auth.keys import KeyHasher, display_prefix
from auth.principal import Scope
from core.errors import NotFound


async def insert_key(
    connection: Connection,
    hasher: KeyHasher,
    tenant_id: str,
    grant: KeyGrant,
    granted_by: str | None = None,
    rotated_from: str | None = None,
    parent_id: str | None = None,
    issued_by: str | None = None,
) -> IssuedKey:
    """A new key. Raises NotFound for a tenant that is not there.

    Args:
        parent_id: of what made it; what is no key of this tenant is left out.
        issued_by: what asked for it, a key of any tenant or not.
    """
    new = hasher.generate()
    try:
        row = await connection.fetchrow(
            "INSERT INTO api_keys (id, tenant_id, user_id, key_name, key_hash, tier,"
            " requests_per_hour, scopes, allowed_models, limits, expires_at,"
            " trusted, granted_by, rotated_from, parent_id, issued_by)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
            " (SELECT id FROM api_keys WHERE id = $15 AND tenant_id = $2), $16) RETURNING *",
            new.key_id,
            tenant_id,
            grant.user_id,
            grant.name,
            new.digest,
            *columns(grant),
            granted_by,
            rotated_from,
            parent_id,
            issued_by,
        )
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound("no such tenant") from error
    assert row is not None
    return IssuedKey(api_key(row), new.secret)


async def update_key(connection: Connection, key_id: str, grant: KeyGrant) -> ApiKey:
    """A key with another name and other rights."""
    row = await connection.fetchrow(
        "UPDATE api_keys SET key_name = $2, tier = $3, requests_per_hour = $4, scopes = $5,"
        " allowed_models = $6, limits = $7, expires_at = $8, trusted = $9"
        " WHERE id = $1 RETURNING *",
        key_id,
        grant.name,
        *columns(grant),
    )
    assert row is not None
    return api_key(row)


def columns(grant: KeyGrant) -> tuple[object, ...]:
    """tier, requests_per_hour, scopes, allowed_models, limits, expires_at, trusted."""
    return (
        grant.tier,
        grant.requests_per_hour,
        sorted(scope.value for scope in grant.scopes),
        None if grant.allowed_models is None else sorted(grant.allowed_models),
        own_limits.stored(grant.limits),
        grant.expires_at,
        grant.trusted,
    )


def api_key(row: asyncpg.Record) -> ApiKey:
    """A row as lists show it."""
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        user_id=row["user_id"],
        name=row["key_name"],
        prefix=display_prefix(row["id"]),
        tier=row["tier"],
        requests_per_hour=row["requests_per_hour"],
        scopes=scopes_of(row),
        allowed_models=models_of(row),
        is_active=row["is_active"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
        rotated_from=row["rotated_from"],
        parent_id=row["parent_id"],
        limits=own_limits.read(row["limits"]),
        trusted=row["trusted"],
    )


def grant_of(key: ApiKey) -> KeyGrant:
    """What would make the same key again."""
    return KeyGrant(
        name=key.name,
        user_id=key.user_id,
        scopes=key.scopes,
        allowed_models=key.allowed_models,
        tier=key.tier,
        requests_per_hour=key.requests_per_hour,
        limits=key.limits,
        expires_at=key.expires_at,
        trusted=key.trusted,
    )


def scopes_of(row: asyncpg.Record) -> frozenset[Scope]:
    """The scopes in a row."""
    return frozenset(Scope(scope) for scope in row["scopes"])


def models_of(row: asyncpg.Record) -> frozenset[str] | None:
    """The allowed models in a row; None is all."""
    models = row["allowed_models"]
    return None if models is None else frozenset(models)
