"""The gallery: one row for each picture that a tenant's image workflows made. Never the bytes.

Place in the path: beside it, under `/v1/gallery`. The bytes are blobs of the media store; a row
goes with its picture, however that is deleted, because PostgreSQL sees to it. What has expired is
not shown, even before it is swept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from auth.accounts import Page
from auth.database import Database
from auth.paging import known_id, page_size
from core.errors import Conflict, NotFound

ADD = """
    INSERT INTO gallery_items
        (id, tenant_id, hash, hashes, prompt, description, seed, model, size, stages, tags)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11) ON CONFLICT (id) DO NOTHING
"""
FIND = """
    SELECT g.* FROM gallery_items g JOIN media m USING (tenant_id, hash)
    WHERE tenant_id = $1 AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    AND id = $2
"""
NEWEST_FIRST = """
    SELECT g.* FROM gallery_items g JOIN media m USING (tenant_id, hash)
    WHERE tenant_id = $1 AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    AND ($2::text IS NULL OR to_tsvector('simple', prompt) @@ plainto_tsquery('simple', $2))
    AND ($3::text IS NULL OR tags @> ARRAY[$3])
    AND ($4::text IS NULL OR (g.created_at, id) <
        (SELECT created_at, id FROM gallery_items WHERE id = $4 AND tenant_id = $1))
    ORDER BY g.created_at DESC, id DESC LIMIT $5
"""
OLDEST_FIRST = """
    SELECT g.* FROM gallery_items g JOIN media m USING (tenant_id, hash)
    WHERE tenant_id = $1 AND stored_at IS NOT NULL AND (expires_at IS NULL OR expires_at > now())
    AND ($2::text IS NULL OR to_tsvector('simple', prompt) @@ plainto_tsquery('simple', $2))
    AND ($3::text IS NULL OR tags @> ARRAY[$3])
    AND ($4::text IS NULL OR (g.created_at, id) >
        (SELECT created_at, id FROM gallery_items WHERE id = $4 AND tenant_id = $1))
    ORDER BY g.created_at, id LIMIT $5
"""
DELETE = "DELETE FROM gallery_items WHERE tenant_id = $1 AND id = $2 RETURNING hashes"
UNNAMED = """
    SELECT blob FROM unnest($2::text[]) AS blob
    WHERE NOT EXISTS (SELECT FROM gallery_items WHERE tenant_id = $1 AND blob = ANY (hashes))
    AND NOT EXISTS (SELECT FROM files WHERE tenant_id = $1 AND hash = blob)
    AND NOT EXISTS (SELECT FROM jobs WHERE tenant_id = $1
        AND (request -> 'blobs' ? blob OR result -> 'blobs' ? blob))
"""
NUL = "\x00"
"""PostgreSQL takes it in no text."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A picture to remember."""

    id: str
    """The same picture of the same run has the same one: twice kept, it is one item."""
    hash: str
    hashes: Sequence[str]
    """All of its pictures in the media store, the finished one among them."""
    prompt: str
    description: str | None
    seed: int | None
    model: str
    size: str
    stages: list[dict[str, Any]]
    """What each did; pictures as `media`, their hash."""
    tags: Sequence[str]


@dataclass(frozen=True, slots=True)
class GalleryItem(NewItem):
    """A picture as it was read."""

    created_at: datetime


class GalleryBook:
    """The rows. Every method raises StoreUnavailable when PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tenant_id: str, items: Sequence[NewItem]) -> None:
        """All of them, or none. Raises Conflict when a picture is gone already."""
        try:
            async with self._database.of(tenant_id).transaction() as connection:
                for item in items:
                    await connection.execute(ADD, *_values(tenant_id, item))
        except asyncpg.ForeignKeyViolationError as error:
            raise Conflict("a picture was deleted while it was put into the gallery") from error

    async def find(self, tenant_id: str, item_id: str) -> GalleryItem:
        """One item. Raises NotFound, also for another tenant's."""
        row = await self._database.of(tenant_id).row(FIND, tenant_id, known_id(item_id))
        if row is None:
            raise NotFound("no such picture in the gallery")
        return _item(row)

    async def page(
        self,
        tenant_id: str,
        words: str | None,
        tag: str | None,
        after: str | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> Page[GalleryItem]:
        """Items.

        Args:
            words: all of which the prompt has, in any order and case; None does not ask.
            tag: one that the item has; None does not ask.
            after: the id of the last item of the page before.
        """
        limit = page_size(limit)
        rows = await self._database.of(tenant_id).fetch(
            OLDEST_FIRST if oldest_first else NEWEST_FIRST,
            tenant_id,
            words and words.replace(NUL, " "),
            tag and tag.replace(NUL, " "),
            after and known_id(after),
            limit + 1,
        )
        return Page(tuple(_item(row) for row in rows[:limit]), len(rows) > limit)

    async def delete(self, tenant_id: str, item_id: str) -> list[str]:
        """Forget an item; those of its pictures that nothing else of the tenant names.

        Raises NotFound.
        """
        async with self._database.of(tenant_id).transaction() as connection:
            hashes = await connection.fetchval(DELETE, tenant_id, known_id(item_id))
            if hashes is None:
                raise NotFound("no such picture in the gallery")
            rows = await connection.fetch(UNNAMED, tenant_id, hashes)
        return [row["blob"] for row in rows]


def _values(tenant_id: str, item: NewItem) -> tuple[object, ...]:
    stages = orjson.dumps(_storable(item.stages)).decode()
    return (
        item.id,
        tenant_id,
        item.hash,
        list(item.hashes),
        item.prompt.replace(NUL, " "),
        item.description and item.description.replace(NUL, " "),
        item.seed,
        item.model,
        item.size,
        stages,
        list(item.tags),
    )


def _storable(value: Any) -> Any:
    """A JSON value without NULs."""
    if isinstance(value, str):
        return value.replace(NUL, " ")
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {name: _storable(each) for name, each in value.items()}
    return value


def _item(row: asyncpg.Record) -> GalleryItem:
    return GalleryItem(
        id=row["id"],
        hash=row["hash"],
        hashes=tuple(row["hashes"]),
        prompt=row["prompt"],
        description=row["description"],
        seed=row["seed"],
        model=row["model"],
        size=row["size"],
        stages=orjson.loads(row["stages"]),
        tags=tuple(row["tags"]),
        created_at=row["created_at"],
    )
