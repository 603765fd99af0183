"""Searches by words look for passages that have two of them together, not at more of each."""

import importlib

from alembic import op

revision = "0030"
down_revision = "0029"

TENANT = "nullif(current_setting('carillon.tenant', true), '')"
PER_WORD = 128
"""Passages looked at for each word: one that more have is common, and says little."""
PER_PAIR = 32
PAIRED_WORDS = 6
"""The rarest ones: 15 pairs."""
RANKED = 64
"""Passages whose words are looked at one by one."""
SIZE = 640
"""A collection is counted up to here to weigh how rare a word is: five times what is counted of a
word, as before, so that a common word weighs what it weighed.
"""
MAX_WORDS = 32


def upgrade() -> None:
    op.execute(_by_words())


def downgrade() -> None:
    before = importlib.import_module("auth.migrations.versions.0028_words_together")
    op.execute(before._by_words())  # noqa: SLF001


def _by_words() -> str:
    """The passages of a collection that have most of a text's words, rare words first.

    As in 0028 but for what is looked at. Of words that many passages have, only the first passages
    were: one that has three such words was found by luck. The index knows which passages have two
    words without reading any, so each two of the rarest words are looked up together, and fewer
    passages of each word alone, which are what the time goes to: they lie all over the table.
    """
    visible = f"""p.tenant_id = {TENANT} AND p.collection = in_collection
                    AND (in_filter IS NULL OR p.metadata @@ in_filter)"""
    return f"""
        CREATE OR REPLACE FUNCTION rag_passages_by_words(
            in_collection text, in_text text, in_filter jsonpath, in_limit integer
        ) RETURNS TABLE (number bigint, score float8)
        LANGUAGE sql STABLE SECURITY DEFINER
        BEGIN ATOMIC
            WITH words AS MATERIALIZED (
                SELECT lexeme, positions[1] AS place, (
                    '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || ''''
                )::tsquery AS query
                FROM unnest(to_tsvector('english', in_text)) WITH ORDINALITY
                WHERE ordinality <= {MAX_WORDS}
                UNION ALL
                SELECT '', NULL, plainto_tsquery('english', in_text)
            ),
            alone AS MATERIALIZED (
                SELECT words.lexeme, hit.number
                FROM words CROSS JOIN LATERAL (
                    SELECT p.number
                    FROM rag_passages p
                    WHERE p.words @@ words.query
                    AND {visible}
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
            weights AS MATERIALIZED (
                SELECT lexeme,
                    ln(1 + (greatest(passages - holders, 0) + 0.5) / (holders + 0.5)) AS weight
                FROM (
                    SELECT lexeme, count(*)::float8 AS holders FROM alone GROUP BY lexeme
                ) counts, size
            ),
            rarest AS MATERIALIZED (
                SELECT lexeme, query, row_number() OVER (ORDER BY weight DESC, lexeme) AS nth
                FROM words JOIN weights USING (lexeme)
                WHERE lexeme <> ''
                ORDER BY nth
                LIMIT {PAIRED_WORDS}
            ),
            paired AS MATERIALIZED (
                SELECT one.lexeme AS lexeme, other.lexeme AS other_lexeme, hit.number
                FROM rarest one JOIN rarest other ON one.nth < other.nth CROSS JOIN LATERAL (
                    SELECT p.number
                    FROM rag_passages p
                    WHERE p.words @@ (one.query && other.query)
                    AND {visible}
                    LIMIT {PER_PAIR}
                ) hit
            ),
            hits AS (
                SELECT lexeme, number FROM alone
                UNION
                SELECT lexeme, number FROM paired
                UNION
                SELECT other_lexeme, number FROM paired
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
