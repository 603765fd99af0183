"""Media: who owns which blob, how much each tenant stores, and blobs that nobody owns."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE media (
            tenant_id text NOT NULL REFERENCES tenants (id),
            hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$'),
            owner text NOT NULL,
            media_type text NOT NULL,
            bytes bigint NOT NULL CHECK (bytes > 0),
            created_at timestamptz NOT NULL DEFAULT now(),
            stored_at timestamptz,
            expires_at timestamptz,
            PRIMARY KEY (tenant_id, hash)
        )
        """
    )
    op.execute("COMMENT ON COLUMN media.owner IS 'What signed URLs call the tenant'")
    op.execute(
        """
        COMMENT ON COLUMN media.stored_at IS
        'Null while the blob is being written: the row then only holds its place in the quota'
        """
    )
    op.execute("CREATE INDEX media_of_hash ON media (hash, owner)")
    op.execute("CREATE INDEX media_of_tenant ON media (tenant_id, created_at, hash)")
    op.execute("CREATE INDEX media_expiring ON media (expires_at) WHERE expires_at IS NOT NULL")
    op.execute("CREATE INDEX media_unstored ON media (created_at) WHERE stored_at IS NULL")
    op.execute(
        """
        CREATE TABLE media_storage (
            tenant_id text PRIMARY KEY REFERENCES tenants (id),
            bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE media_garbage (
            hash text PRIMARY KEY,
            since timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(
        """
        COMMENT ON TABLE media_garbage IS
        'Blobs whose last owner is gone, until they are deleted from the store'
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE media_garbage")
    op.execute("DROP TABLE media_storage")
    op.execute("DROP TABLE media")
