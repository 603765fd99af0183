"""Files: what tenants upload for batches, and what batches give back. Rows, never bytes.

Place in the path: beside it, under `/v1/files`. The bytes are blobs of the media store, which
counts them against the plan's storage.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from auth.accounts import Page
from auth.database import Database
from auth.paging import known_id, page_size
from core.errors import NotFound

ID_BYTES = 12
NEWEST_FIRST = """
    SELECT * FROM files WHERE tenant_id = $1 AND ($2::text IS NULL OR purpose = $2)
    AND ($3::text IS NULL OR (created_at, id) <
        (SELECT created_at, id FROM files WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at DESC, id DESC LIMIT $4
"""
OLDEST_FIRST = """
    SELECT * FROM files WHERE tenant_id = $1 AND ($2::text IS NULL OR purpose = $2)
    AND ($3::text IS NULL OR (created_at, id) >
        (SELECT created_at, id FROM files WHERE id = $3 AND tenant_id = $1))
    ORDER BY created_at, id LIMIT $4
"""
MENTIONED = """
    SELECT 1 FROM files WHERE tenant_id = $1 AND hash = $2
    UNION ALL SELECT 1 FROM jobs WHERE tenant_id = $1
    AND (request -> 'blobs' ? $2 OR result -> 'blobs' ? $2)
    UNION ALL SELECT 1 FROM gallery_items WHERE tenant_id = $1 AND $2 = ANY (hashes)
    UNION ALL SELECT 1 FROM app_deployments WHERE tenant_id = $1 AND hash = $2 LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a tenant."""

    id: str
    tenant_id: str
    filename: str
    purpose: str
    hash: str
    bytes: int
    created_at: datetime


class FileBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, tenant_id: str, filename: str, purpose: str, blob: str, size: int, key: str = ""
    ) -> File:
        """Name a blob. With a `key`, twice the same file is one: a job may repeat its last step."""
        name = key or secrets.token_hex(ID_BYTES)
        row = await self._database.of(tenant_id).row(
            "INSERT INTO files (id, tenant_id, filename, purpose, hash, bytes)"
            " VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, bytes = excluded.bytes"
            " RETURNING *",
            f"file-{name}",
            tenant_id,
            filename,
            purpose,
            blob,
            size,
        )
        return _file(row)

    async def find(self, tenant_id: str, file_id: str) -> File:
        """A tenant's own file. Raises NotFound, also for another tenant's."""
        return _file(
            await self._database.of(tenant_id).row(
                "SELECT * FROM files WHERE id = $1 AND tenant_id = $2", known_id(file_id), tenant_id
            )
        )

    async def page(
        self,
        tenant_id: str,
        purpose: str | None,
        after: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> Page[File]:
        """A tenant's files."""
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            OLDEST_FIRST if oldest_first else NEWEST_FIRST,
            tenant_id,
            purpose,
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_file(row) for row in rows[:limit]), len(rows) > limit)

    async def delete(self, tenant_id: str, file_id: str) -> tuple[File, bool]:
        """Forget a file; whether nothing else of the tenant names its blob. Raises NotFound."""
        file = await self.find(tenant_id, file_id)
        await self._database.of(tenant_id).execute("DELETE FROM files WHERE id = $1", file.id)
        other = await self._database.of(tenant_id).row(MENTIONED, tenant_id, file.hash)
        return file, other is None


def _file(row: asyncpg.Record | None) -> File:
    if row is None:
        raise NotFound("no such file")
    return File(
        id=row["id"],
        tenant_id=row["tenant_id"],
        filename=row["filename"],
        purpose=row["purpose"],
        hash=row["hash"],
        bytes=row["bytes"],
        created_at=row["created_at"],
    )
