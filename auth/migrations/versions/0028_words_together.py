"""Searches by words rank passages higher in which words stand together as in the question."""

import importlib

from alembic import op

revision = "0028"
down_revision = "0027"

TENANT = "nullif(current_setting('carillon.tenant', true), '')"
PER_WORD = 400
"""Passages looked at for each word: one that more have is common, and says little."""
RANKED = 64
"""Passages whose words are looked at one by one: fewer than before, as each takes longer."""
SIZE = 2_000
"""A collection is counted up to here to weigh how rare a word is."""
MAX_WORDS = 32


def upgrade() -> None:
    op.execute(_by_words())


def downgrade() -> None:
    before = importlib.import_module("auth.migrations.versions.0017_rag_passages")
    op.execute(before._by_words().replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))  # noqa: SLF001


def _by_words() -> str:
    """The passages of a collection that have most of a text's words, rare words first.

    As in 0017, which says why it runs as the table's owner. Fewer passages are looked at for each
    word; joined to nothing, a passage's words are unpacked once and not again for each word that is
    asked for. New is the last step: each two words that are neighbours in the text count once more
    where a passage has both, the more the closer they stand (cover density: Clarke, Cormack and
    Tudhope, 2000), and as much as the commoner of the two weighs.
    """
    return f"""
        CREATE OR REPLACE FUNCTION rag_passages_by_words(
            in_collection text, in_text text, in_filter jsonpath, in_limit integer
        ) RETURNS TABLE (number bigint, score float8)
        LANGUAGE sql STABLE SECURITY DEFINER
        BEGIN ATOMIC
            WITH words AS (
                SELECT lexeme, positions[1] AS place, (
                    '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || ''''
                )::tsquery AS query
                FROM unnest(to_tsvector('english', in_text)) WITH ORDINALITY
                WHERE ordinality <= {MAX_WORDS}
                UNION ALL
                SELECT '', NULL, plainto_tsquery('english', in_text)
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
            ),
            texts AS MATERIALIZED (
                SELECT p.number, p.words || '' AS words
                FROM best JOIN rag_passages p USING (number)
            ),
            terms AS MATERIALIZED (
                SELECT query, weight, false AS is_pair
                FROM words JOIN weights USING (lexeme)
                WHERE lexeme <> ''
                UNION ALL
                SELECT query && following, least(weight, following_weight), true
                FROM (
                    SELECT query, weight, lead(query) OVER by_place AS following,
                        lead(weight) OVER by_place AS following_weight
                    FROM words JOIN weights USING (lexeme)
                    WHERE lexeme <> ''
                    WINDOW by_place AS (ORDER BY place)
                ) neighbours
                WHERE following IS NOT NULL
            )
            SELECT texts.number, sum(
                weight * CASE WHEN is_pair THEN ts_rank_cd(texts.words, query, 1)
                    ELSE ts_rank(texts.words, query, 1) END
            ) AS score
            FROM texts CROSS JOIN terms
            GROUP BY texts.number
            ORDER BY score DESC, texts.number
            LIMIT in_limit;
        END
        """  # noqa: S608  # ours
