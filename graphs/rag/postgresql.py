"""Passages in PostgreSQL: vectors found by pgvector, words by full-text search. The default store.

Place in the path: under the RAG graph. Every statement runs as its tenant (`Database.of`), where
row-level security shows no other's rows; `auth/migrations/versions/0017_rag_passages.py` has the
tables, and the function that finds words. Vectors of usual lengths have an index; others are
compared one by one.
"""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import asyncpg

from auth.database import Connection, Database
from core.filters import AnyFilter
from graphs.rag.jsonpath import jsonpath
from graphs.rag.store_settings import PostgresqlStore
from graphs.rag.vector_store import Found, Passage, Scope
from graphs.rag.vectors import other_length, scaled

INDEXED = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
BATCH = 200
"""Passages of one round trip: the time limit is of each."""
MIN_SEARCHED = 64
MAX_SEARCHED = 1_000
"""Nearest passages that the index keeps in sight (`hnsw.ef_search`): more find more, slower."""

UPSERT = """
    INSERT INTO rag_passages
        (tenant_id, collection, document, position, text, metadata, dimensions, embedding)
    VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8::real[]::halfvec)
    ON CONFLICT (tenant_id, collection, document, position) DO UPDATE
    SET text = excluded.text, metadata = excluded.metadata, dimensions = excluded.dimensions,
        embedding = excluded.embedding
"""
LENGTH = "SELECT dimensions FROM rag_passages WHERE collection = $1 LIMIT 1"
NEAREST = {
    length: f"""
        SELECT document, position, text, metadata::text,
            embedding::halfvec({length}) <=> $2::real[]::halfvec({length}) AS distance
        FROM rag_passages
        WHERE collection = $1 AND dimensions = {length}
        AND ($3::text IS NULL OR metadata @@ $3::text::jsonpath)
        ORDER BY distance LIMIT $4
    """  # noqa: S608  # the lengths above
    for length in INDEXED
}
NEAREST_OF_ALL = """
    SELECT document, position, text, metadata::text, embedding <=> $2::real[]::halfvec AS distance
    FROM rag_passages
    WHERE collection = $1 AND dimensions = cardinality($2::real[])
    AND ($3::text IS NULL OR metadata @@ $3::text::jsonpath)
    ORDER BY distance LIMIT $4
"""
BY_WORDS = """
    SELECT document, position, text, metadata::text, score
    FROM rag_passages_by_words($1, $2, $3::text::jsonpath, $4) found
    JOIN rag_passages USING (number)
    ORDER BY score DESC, number
"""
DELETE_DOCUMENT = (
    "DELETE FROM rag_passages WHERE collection = $1 AND document = $2 AND position >= $3"
)
DELETE_COLLECTION = "DELETE FROM rag_passages WHERE collection = $1"
COUNT = "SELECT count(*) FROM rag_passages WHERE collection = $1"

# Plans are made for the values at hand: a small collection is read whole, a large one by index.
# The index goes on until enough of what it finds passes the filter.
TUNE = """
    SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
        set_config('hnsw.iterative_scan', 'relaxed_order', true),
        set_config('hnsw.ef_search', $1, true)
"""
WITHOUT_INDEX = "SELECT set_config('enable_indexscan', 'off', true)"


class PostgresqlPassages:
    """A `VectorStore` in the tables of Carillon's own database."""

    def __init__(self, settings: PostgresqlStore) -> None:
        url = settings.database_url.resolve()
        self._database = Database(url, settings.timeout_s, settings.connections)

    async def start(self) -> None:
        """Nothing: the tables are there, and connections open when they are needed."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._database.aclose()

    async def upsert(
        self, scope: Scope, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        """All of them, or none. See `VectorStore`."""
        if not passages:
            return
        units = scaled(vectors)
        rows = (_row(scope, *each) for each in zip(passages, units, strict=True))
        async with self._database.of(scope.tenant).transaction() as connection:
            stored = await connection.fetchval(LENGTH, scope.collection)
            if stored not in (None, len(units[0])):
                raise other_length(len(units[0]), stored)
            while batch := list(islice(rows, BATCH)):
                await connection.executemany(UPSERT, batch)

    async def query(
        self,
        scope: Scope,
        vector: Sequence[float],
        top_k: int,
        filter_: AnyFilter | None = None,
    ) -> list[Found]:
        """By the index, or by reading all where that finds too few. See `VectorStore`."""
        (unit,) = scaled([vector])
        where = None if filter_ is None else jsonpath(filter_)
        arguments = (scope.collection, unit, where, top_k)
        async with self._database.of(scope.tenant).transaction() as connection:
            searched = min(max(MIN_SEARCHED, 2 * top_k), MAX_SEARCHED)
            await connection.execute(TUNE, str(searched))
            rows = await _nearest(connection, arguments)
            if len(rows) < top_k:
                await connection.execute(WITHOUT_INDEX)
                rows = await _nearest(connection, arguments)
            if not rows:
                await _refuse_other_length(connection, scope, len(unit))
        found = [_found(row, 1 - row["distance"]) for row in rows]
        return sorted(found, key=lambda each: -each.score)

    async def query_text(
        self, scope: Scope, text: str, top_k: int, filter_: AnyFilter | None = None
    ) -> list[Found]:
        """By PostgreSQL's full-text search, in English: other words are found as they stand."""
        where = None if filter_ is None else jsonpath(filter_)
        async with self._database.of(scope.tenant).transaction() as connection:
            rows = await connection.fetch(
                BY_WORDS, scope.collection, _without_nul(text), where, top_k
            )
        return [_found(row, row["score"]) for row in rows]

    async def delete_document(self, scope: Scope, document: str, *, first: int = 0) -> None:
        """See `VectorStore`."""
        bound = self._database.of(scope.tenant)
        await bound.execute(DELETE_DOCUMENT, scope.collection, document, first)

    async def delete_collection(self, scope: Scope) -> None:
        """See `VectorStore`."""
        await self._database.of(scope.tenant).execute(DELETE_COLLECTION, scope.collection)

    async def count(self, scope: Scope) -> int:
        """See `VectorStore`."""
        row = await self._database.of(scope.tenant).row(COUNT, scope.collection)
        return int(row[0]) if row else 0


async def _nearest(
    connection: Connection, arguments: tuple[str, list[float], str | None, int]
) -> list[asyncpg.Record]:
    length = len(arguments[1])
    if length in NEAREST:
        return await connection.fetch(NEAREST[length], *arguments)
    return await connection.fetch(NEAREST_OF_ALL, *arguments)


async def _refuse_other_length(connection: Connection, scope: Scope, length: int) -> None:
    stored = await connection.fetchval(LENGTH, scope.collection)
    if stored not in (None, length):
        raise other_length(length, stored)


def _row(scope: Scope, passage: Passage, vector: list[float]) -> tuple[Any, ...]:
    return (
        scope.tenant,
        scope.collection,
        passage.document,
        passage.position,
        _without_nul(passage.text),
        json.dumps(dict(passage.metadata)),
        len(vector),
        vector,
    )


def _without_nul(text: str) -> str:
    """PostgreSQL's text has every character but this one, which some PDF files have."""
    return text.replace("\0", "")


def _found(row: asyncpg.Record, score: float) -> Found:
    passage = Passage(row["document"], row["position"], row["text"], json.loads(row["metadata"]))
    return Found(passage, score)
