"""Ownership of media: which tenant owns which blob, until when, and how much it stores.

Place in the path: under the media store of `ingress`. It holds rows, never bytes, and does not
know where blobs are.

Two tenants may own the same blob; it goes when the last owner is gone. What keeps that exact
under concurrency: every change of a hash's owners, and the deletion of its blob, happens under one
advisory lock of that hash. Rows are claimed before the blob is written, so a quota is never
overrun, and a writer that was killed leaves a claim that the sweeper takes back.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from auth.accounts import Page
from auth.database import Connection, Database
from auth.quota import storage_refusal
from auth.storage import TENANT, StorageLimit, StorageState
from core.errors import NotFound, StoreUnavailable

CLAIM_LIFE_S = 3600
"""How long a claim may wait for its blob before it counts as abandoned."""

CLAIM = """
    INSERT INTO media (tenant_id, hash, owner, media_type, bytes, expires_at, holders)
    SELECT $1, hash, $5, media_type, bytes, $6, $7
    FROM unnest($2::text[], $3::text[], $4::bigint[]) AS claimed (hash, media_type, bytes)
    ON CONFLICT (tenant_id, hash) DO UPDATE SET expires_at = CASE
        WHEN media.expires_at IS NULL OR excluded.expires_at IS NULL THEN NULL
        ELSE greatest(media.expires_at, excluded.expires_at) END,
        created_at = CASE WHEN media.stored_at IS NULL THEN now() ELSE media.created_at END
    RETURNING bytes, xmax = 0 AS is_new
"""
STORED = """
    UPDATE media SET stored_at = coalesce(stored_at, now())
    WHERE tenant_id = $1 AND hash = ANY ($2) RETURNING *
"""
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(hash, 0)) FROM unnest($1::text[]) AS hash"
RESERVE = """
    INSERT INTO media_storage (tenant_id, bytes) VALUES ($1, $2)
    ON CONFLICT (tenant_id) DO UPDATE SET bytes = media_storage.bytes + excluded.bytes
    RETURNING bytes
"""
RESERVE_FOR = """
    INSERT INTO media_holders (tenant_id, holder, bytes) SELECT $1, unnest($2::text[]), $3
    ON CONFLICT (tenant_id, holder) DO UPDATE SET bytes = media_holders.bytes + excluded.bytes
    RETURNING holder, bytes
"""
FREE = "UPDATE media_storage SET bytes = bytes - $2 WHERE tenant_id = $1"
FREE_FOR = """
    UPDATE media_holders SET bytes = bytes - $3 WHERE tenant_id = $1 AND holder = ANY ($2)
"""
USED = """
    SELECT '' AS holder, bytes FROM media_storage WHERE tenant_id = $1
    UNION ALL SELECT holder, bytes FROM media_holders WHERE tenant_id = $1 AND holder = ANY ($2)
"""
OWN = """
    SELECT * FROM media WHERE tenant_id = $1 AND hash = $2
    AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
"""
OWN_ALL = """
    SELECT * FROM media WHERE tenant_id = $1 AND hash = ANY ($2)
    AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
"""
SHARED = """
    SELECT * FROM media WHERE owner = $1 AND hash = $2
    AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
"""
OLDEST_FIRST = """
    SELECT * FROM media WHERE tenant_id = $1
    AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    AND ($2::text IS NULL OR (created_at, hash) >
        (SELECT created_at, hash FROM media WHERE tenant_id = $1 AND hash = $2))
    ORDER BY created_at, hash LIMIT $3
"""
NEWEST_FIRST = """
    SELECT * FROM media WHERE tenant_id = $1
    AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    AND ($2::text IS NULL OR (created_at, hash) <
        (SELECT created_at, hash FROM media WHERE tenant_id = $1 AND hash = $2))
    ORDER BY created_at DESC, hash DESC LIMIT $3
"""
ENDED = """
    SELECT tenant_id, hash FROM media WHERE expires_at <= now()
    UNION
    SELECT tenant_id, hash FROM media
    WHERE stored_at IS NULL AND created_at < now() - make_interval(secs => $1)
    LIMIT $2
"""
RELEASE = "DELETE FROM media WHERE tenant_id = $1 AND hash = $2 RETURNING *"
GIVE_UP = """
    DELETE FROM media WHERE tenant_id = $1 AND hash = $2 AND stored_at IS NULL RETURNING *
"""
EXPIRE = """
    DELETE FROM media WHERE tenant_id = $1 AND hash = $2 AND (expires_at <= now()
    OR stored_at IS NULL AND created_at < now() - make_interval(secs => $3)) RETURNING *
"""
ORPHAN = """
    INSERT INTO media_garbage (hash)
    SELECT $1 WHERE NOT EXISTS (SELECT FROM media WHERE hash = $1) ON CONFLICT DO NOTHING
"""


class Claim(NamedTuple):
    """A blob that is about to be written."""

    hash: str
    media_type: str
    bytes: int


@dataclass(frozen=True, slots=True)
class OwnedMedia:
    """One tenant's media: a blob, and on what terms it is kept."""

    tenant_id: str
    hash: str
    owner: str
    media_type: str
    bytes: int
    created_at: datetime
    expires_at: datetime | None


class MediaOwnership:
    """Rows of media. Every method raises StoreUnavailable when PostgreSQL does not answer.

    Args:
        database: PostgreSQL, migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self,
        tenant_id: str,
        owner: str,
        claims: Sequence[Claim],
        expires_at: datetime | None,
        limits: Sequence[StorageLimit],
    ) -> None:
        """Take room for different blobs, of each of `limits`.

        What the tenant owns already takes no more room, of anybody; it is kept at least until
        `expires_at`.

        Raises:
            StorageFull: together they would not fit in one of `limits`; nothing was taken.
        """
        hashes, types, sizes = zip(*sorted(claims), strict=True)
        holders = sorted({each.holder for each in limits} - {TENANT})
        try:
            async with self._database.of(tenant_id).transaction() as connection:
                await _lock(connection, *hashes)
                rows = await connection.fetch(
                    CLAIM, tenant_id, hashes, types, sizes, owner, expires_at, holders
                )
                if size := sum(row["bytes"] for row in rows if row["is_new"]):
                    _require_room(limits, await _taken(connection, tenant_id, holders, size), size)
        except asyncpg.ForeignKeyViolationError as error:
            raise NotFound("no such tenant") from error

    async def stored(self, tenant_id: str, blobs: Sequence[str]) -> list[OwnedMedia]:
        """The claimed blobs are there: their owner may see them now. In the order of `blobs`."""
        async with self._database.of(tenant_id).transaction() as connection:
            await _lock(connection, *blobs)
            rows = await connection.fetch(STORED, tenant_id, blobs)
            if len(rows) < len(blobs):  # another writer of the same gave up, or it was deleted
                raise StoreUnavailable("the media were deleted while written", retry_after_s=1.0)
        known = {row["hash"]: _owned(row) for row in rows}
        return [known[blob] for blob in blobs]

    async def give_up(self, tenant_id: str, blob: str) -> None:
        """Take a claim back: its blob could not be written."""
        await self._end(GIVE_UP, tenant_id, blob)

    async def find(self, tenant_id: str, blob: str) -> OwnedMedia:
        """A tenant's media. Raises NotFound."""
        return _owned(await self._database.of(tenant_id).row(OWN, tenant_id, blob))

    async def find_all(self, tenant_id: str, blobs: Collection[str]) -> dict[str, OwnedMedia]:
        """Those of `blobs` that the tenant has, by their hash."""
        rows = await self._database.of(tenant_id).fetch(OWN_ALL, tenant_id, list(blobs))
        return {row["hash"]: _owned(row) for row in rows}

    async def shared(self, owner: str, blob: str) -> OwnedMedia:
        """Media as a signed URL names them. Raises NotFound."""
        return _owned(await self._database.row(SHARED, owner, blob))

    async def page(
        self, tenant_id: str, after: str | None, limit: int, *, oldest_first: bool = False
    ) -> Page[OwnedMedia]:
        """A tenant's media that have not expired."""
        query = OLDEST_FIRST if oldest_first else NEWEST_FIRST
        rows = await self._database.of(tenant_id).fetch(query, tenant_id, after, limit + 1)
        return Page(tuple(_owned(row) for row in rows[:limit]), len(rows) > limit)

    async def storage(self, tenant_id: str) -> int:
        """Bytes that a tenant's media take, claims included."""
        return (await self.used(tenant_id, ()))[TENANT]

    async def used(self, tenant_id: str, holders: Iterable[str]) -> Mapping[str, int]:
        """Bytes that count for the tenant, and for each of `holders` in it, claims included."""
        wanted = list(holders)
        rows = await self._database.of(tenant_id).fetch(USED, tenant_id, wanted)
        known = {row["holder"]: int(row["bytes"]) for row in rows}
        return {holder: known.get(holder, 0) for holder in (TENANT, *wanted)}

    async def release(self, tenant_id: str, blob: str) -> OwnedMedia | None:
        """End one tenant's ownership; None when there was none. The blob is `garbage` after it
        when nobody else owns it.
        """
        return await self._end(RELEASE, tenant_id, blob)

    async def expire(self, tenant_id: str, blob: str) -> OwnedMedia | None:
        """As `release`, if it is `ended` still: it may have been put again meanwhile."""
        return await self._end(EXPIRE, tenant_id, blob, CLAIM_LIFE_S)

    async def ended(self, limit: int) -> list[tuple[str, str]]:
        """Tenant and hash of media that have expired and of claims that were abandoned."""
        rows = await self._database.fetch(ENDED, CLAIM_LIFE_S, limit)
        return [(row["tenant_id"], row["hash"]) for row in rows]

    async def garbage(self, limit: int) -> list[str]:
        """Blobs that had no owner left, longest first."""
        rows = await self._database.fetch(
            "SELECT hash FROM media_garbage ORDER BY since LIMIT $1", limit
        )
        return [row["hash"] for row in rows]

    @asynccontextmanager
    async def collecting(self, blob: str) -> AsyncIterator[bool]:
        """Inside, nobody can come to own `blob`; it may be deleted when the value is True.

        Leaving without an error takes it off the garbage list; an error leaves it there.
        """
        async with self._database.transaction() as connection:
            await _lock(connection, blob)
            owned = await connection.fetchval("SELECT 1 FROM media WHERE hash = $1 LIMIT 1", blob)
            yield not owned
            await connection.execute("DELETE FROM media_garbage WHERE hash = $1", blob)

    async def _end(
        self, deletion: str, tenant_id: str, blob: str, *more: object
    ) -> OwnedMedia | None:
        async with self._database.transaction() as connection:  # ORPHAN asks for other owners
            await _lock(connection, blob)
            row = await connection.fetchrow(deletion, tenant_id, blob, *more)
            if row is None:
                return None
            # The tenant's count first, as when room is taken: so none waits in a circle.
            await connection.execute(FREE, tenant_id, row["bytes"])
            await connection.execute(FREE_FOR, tenant_id, row["holders"], row["bytes"])
            await connection.execute(ORPHAN, blob)
            return _owned(row)


async def _taken(
    connection: Connection, tenant_id: str, holders: Sequence[str], size: int
) -> Mapping[str, int]:
    """Count `size` more bytes for the tenant and `holders`; what each has then."""
    used = {TENANT: await connection.fetchval(RESERVE, tenant_id, size)}
    if not holders:
        return used
    for row in await connection.fetch(RESERVE_FOR, tenant_id, holders, size):
        used[row["holder"]] = row["bytes"]
    return used


def _require_room(limits: Sequence[StorageLimit], used: Mapping[str, int], size: int) -> None:
    """Raise StorageFull when one of `limits` has less room than was taken."""
    for each in limits:
        if each.limit is not None and used[each.holder] > each.limit:
            state = StorageState(each.scope, each.limit, used[each.holder] - size)
            raise storage_refusal(state, size)


async def _lock(connection: Connection, *blobs: str) -> None:
    """Until the transaction ends. First in every transaction, and always in the same order, so that
    none waits in a circle.
    """
    await connection.execute(LOCK, sorted(blobs))


def _owned(row: asyncpg.Record | None) -> OwnedMedia:
    if row is None:
        raise NotFound("no such media")
    return OwnedMedia(
        tenant_id=row["tenant_id"],
        hash=row["hash"],
        owner=row["owner"],
        media_type=row["media_type"],
        bytes=row["bytes"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )
