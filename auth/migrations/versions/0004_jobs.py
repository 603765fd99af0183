"""Jobs that outlive their request, and the files that batches read and write."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE jobs (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            api_key_id text NOT NULL,
            kind text NOT NULL,
            model text,
            request jsonb NOT NULL,
            status text NOT NULL DEFAULT 'queued'
                CHECK (status IN ('queued', 'in_progress', 'completed', 'failed', 'cancelled')),
            progress real NOT NULL DEFAULT 0,
            result jsonb NOT NULL DEFAULT '{}',
            error_code text,
            error_message text,
            created_at timestamptz NOT NULL DEFAULT now(),
            started_at timestamptz,
            ended_at timestamptz,
            expires_at timestamptz
        )
        """
    )
    op.execute("COMMENT ON COLUMN jobs.api_key_id IS 'Whose rights, limits and budget it runs on'")
    op.execute("CREATE INDEX jobs_of_tenant ON jobs (tenant_id, kind, created_at, id)")
    op.execute(
        """
        CREATE TABLE files (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            filename text NOT NULL,
            purpose text NOT NULL,
            hash text NOT NULL,
            bytes bigint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("COMMENT ON COLUMN files.hash IS 'The blob in the media store'")
    op.execute("CREATE INDEX files_of_tenant ON files (tenant_id, created_at, id)")


def downgrade() -> None:
    op.execute("DROP TABLE files")
    op.execute("DROP TABLE jobs")
