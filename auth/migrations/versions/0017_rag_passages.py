"""Passages of documents, with their vectors and words, as RAG finds them again."""

from alembic import op

revision = "0017"
down_revision = "0016"

ROLE = "carillon_tenant"
TENANT = "nullif(current_setting('carillon.tenant', true), '')"
INDEXED = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
"""Lengths of vectors that have an index. `graphs/rag/postgresql.py` has the same."""
PER_WORD = 1_000
"""Passages looked at for each word: one that more have is common, and says little."""
RANKED = 100
SIZE = 5_000
"""A collection is counted up to here to weigh how rare a word is."""
MAX_WORDS = 32


def upgrade() -> None:
    # The extension was made before: auth/pgvector.py.
    op.execute(
        """
        CREATE TABLE rag_passages (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            collection text NOT NULL,
            document text NOT NULL,
            position integer NOT NULL,
            text text NOT NULL,
            metadata jsonb NOT NULL,
            dimensions integer NOT NULL,
            embedding halfvec NOT NULL,
            words tsvector NOT NULL GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
            UNIQUE (tenant_id, collection, document, position)
        )
        """
    )
    op.execute(
        "COMMENT ON COLUMN rag_passages.dimensions IS 'Length of the vector: chooses its index'"
    )
    for length in INDEXED:
        op.execute(
            f"""
            CREATE INDEX rag_passages_{length} ON rag_passages
            USING hnsw ((embedding::halfvec({length})) halfvec_cosine_ops)
            WHERE dimensions = {length}
            """
        )
    # No list of pending entries: every search would read all of it.
    op.execute(
        "CREATE INDEX rag_passages_words ON rag_passages USING gin (words) WITH (fastupdate = off)"
    )
    op.execute("ALTER TABLE rag_passages ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY of_tenant ON rag_passages USING (tenant_id = {TENANT})")
    op.execute(
        f"""
        GRANT SELECT, DELETE,
            INSERT (tenant_id, collection, document, position, text, metadata, dimensions,
                embedding),
            UPDATE (text, metadata, dimensions, embedding)
        ON rag_passages TO {ROLE}
        """
    )
    op.execute(_by_words())
    op.execute("REVOKE ALL ON FUNCTION rag_passages_by_words FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION rag_passages_by_words TO {ROLE}")


def downgrade() -> None:
    op.execute("DROP FUNCTION rag_passages_by_words")
    op.execute("DROP TABLE rag_passages")


def _by_words() -> str:
    """The passages of a collection that have most of a text's words, rare words first.

    Row-level security lets no index be used for a condition that might tell what it saw, as `@@`
    might; so this runs as the table's owner, with the policy's condition written out. It gives
    numbers and scores alone: passages are read by the caller, whom the policy binds.

    First each word gives the passages that have it, and all words together those that have all.
    The best by how rare the words are that they have, as of BM25, are then ranked by how often and
    in how long a text they have them.
    """
    return f"""
        CREATE FUNCTION rag_passages_by_words(
            in_collection text, in_text text, in_filter jsonpath, in_limit integer
        ) RETURNS TABLE (number bigint, score float8)
        LANGUAGE sql STABLE SECURITY DEFINER
        BEGIN ATOMIC
            WITH words AS (
                SELECT lexeme, (
                    '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || ''''
                )::tsquery AS query
                FROM unnest(to_tsvector('english', in_text)) WITH ORDINALITY
                WHERE ordinality <= {MAX_WORDS}
                UNION ALL
                SELECT '', plainto_tsquery('english', in_text)
            ),
            hits AS MATERIALIZED (
                SELECT words.lexeme, hit.number
                FROM words CROSS JOIN LATERAL (
                    SELECT p.number
                    FROM rag_passages p
                    WHERE p.words @@ words.query
                    AND p.tenant_id = {TENANT} AND p.collection = in_collection
                    AND (in_filter IS NULL OR p.metadata @@ in_filter)
                    LIMIT {PER_WORD}
                ) hit
            ),
            size AS (
                SELECT count(*) AS passages
                FROM (
                    SELECT FROM rag_passages p
                    WHERE p.tenant_id = {TENANT} AND p.collection = in_collection
                    LIMIT {SIZE}
                ) counted
            ),
            weights AS (
                SELECT lexeme,
                    ln(1 + (greatest(passages - holders, 0) + 0.5) / (holders + 0.5)) AS weight
                FROM (
                    SELECT lexeme, count(*)::float8 AS holders FROM hits GROUP BY lexeme
                ) counts, size
            ),
            best AS (
                SELECT hits.number
                FROM hits JOIN weights USING (lexeme)
                GROUP BY hits.number
                ORDER BY sum(weight) DESC, hits.number
                LIMIT greatest({RANKED}, in_limit)
            )
            SELECT p.number, sum(weight * ts_rank(p.words, words.query, 1)) AS score
            FROM best
            JOIN rag_passages p USING (number)
            CROSS JOIN words
            JOIN weights USING (lexeme)
            WHERE lexeme <> ''
            GROUP BY p.number
            ORDER BY score DESC, p.number
            LIMIT in_limit;
        END
        """  # noqa: S608  # ours
