"""The gallery: pictures that a tenant's image workflows made, and how."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE gallery_items (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            hash text NOT NULL,
            hashes text[] NOT NULL,
            prompt text NOT NULL,
            description text,
            seed bigint,
            model text NOT NULL,
            size text NOT NULL,
            stages jsonb NOT NULL,
            tags text[] NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            FOREIGN KEY (tenant_id, hash) REFERENCES media (tenant_id, hash) ON DELETE CASCADE
        )
        """
    )
    op.execute("COMMENT ON COLUMN gallery_items.hash IS 'The finished picture in the media store'")
    op.execute("COMMENT ON COLUMN gallery_items.hashes IS 'All of its pictures, stages included'")
    op.execute("CREATE INDEX gallery_of_tenant ON gallery_items (tenant_id, created_at, id)")
    op.execute("CREATE INDEX gallery_of_media ON gallery_items (tenant_id, hash)")
    op.execute("ALTER TABLE gallery_items ENABLE ROW LEVEL SECURITY")
    op.execute(
        """
        CREATE POLICY of_tenant ON gallery_items
        USING (tenant_id = nullif(current_setting('carillon.tenant', true), ''))
        """
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON gallery_items TO carillon_tenant")


def downgrade() -> None:
    op.execute("DROP TABLE gallery_items")
