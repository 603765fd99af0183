"""Documents for RAG, and the collections that they are in."""

from alembic import op

revision = "0021"
down_revision = "0020"

ROLE = "carillon_tenant"
POLICY = "tenant_id = nullif(current_setting('carillon.tenant', true), '')"
TABLES = ("rag_collections", "rag_documents")


def upgrade() -> None:
    # The version begins with the time: a collection that is made again has none that it had before.
    op.execute(
        """
        CREATE TABLE rag_collections (
            tenant_id text NOT NULL REFERENCES tenants (id),
            name text NOT NULL,
            model text NOT NULL,
            embedding text NOT NULL,
            version bigint NOT NULL
                DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, name)
        )
        """
    )
    op.execute("COMMENT ON COLUMN rag_collections.model IS 'The RAG graph that keeps it'")
    op.execute(
        """
        CREATE TABLE rag_documents (
            tenant_id text NOT NULL,
            collection text NOT NULL,
            id text NOT NULL,
            title text,
            kind text NOT NULL DEFAULT 'text',
            bytes bigint NOT NULL DEFAULT 0,
            text text NOT NULL DEFAULT '',
            text_bytes bigint NOT NULL DEFAULT 0,
            pages int,
            passages int NOT NULL DEFAULT 0,
            tokens bigint NOT NULL DEFAULT 0,
            metadata jsonb NOT NULL DEFAULT '{}',
            mark text,
            pending text,
            stale text[] NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            begun_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, collection, id),
            FOREIGN KEY (tenant_id, collection) REFERENCES rag_collections (tenant_id, name)
                ON DELETE CASCADE
        )
        """
    )
    for column, meaning in {
        "mark": "Under which its passages are in the vector store; null before the first time",
        "pending": "The mark of an attempt to put it in, or to replace it, that has not ended",
        "stale": "Marks whose passages may still be in the store and are nobody''s",
    }.items():
        op.execute(f"COMMENT ON COLUMN rag_documents.{column} IS '{meaning}'")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_tenant ON {table} USING ({POLICY})")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
