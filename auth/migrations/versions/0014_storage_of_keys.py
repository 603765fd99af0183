"""Whose storage media take: beside the tenant's, their user's, their key's and its makers'."""

from alembic import op

revision = "0014"
down_revision = "0013"

POLICY = "tenant_id = nullif(current_setting('carillon.tenant', true), '')"


def upgrade() -> None:
    # Nobody knows who stored what is there already: it counts for its tenant alone.
    op.execute("ALTER TABLE media ADD COLUMN holders text[] NOT NULL DEFAULT '{}'")
    op.execute(
        """
        CREATE TABLE media_holders (
            tenant_id text NOT NULL REFERENCES tenants (id),
            holder text NOT NULL,
            bytes bigint NOT NULL CHECK (bytes >= 0),
            PRIMARY KEY (tenant_id, holder)
        )
        """
    )
    op.execute("COMMENT ON COLUMN media_holders.holder IS 'user:… or key:…'")
    op.execute("ALTER TABLE media_holders ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY of_tenant ON media_holders USING ({POLICY})")
    op.execute("GRANT SELECT, INSERT, UPDATE ON media_holders TO carillon_tenant")


def downgrade() -> None:
    op.execute("DROP TABLE media_holders")
    op.execute("ALTER TABLE media DROP COLUMN holders")
