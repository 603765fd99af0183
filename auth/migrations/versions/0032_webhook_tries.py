"""Webhooks that were not delivered wait for their next try."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN try_at timestamptz")
    op.execute("COMMENT ON COLUMN jobs.try_at IS 'When a webhook that failed is tried again'")
    op.execute("CREATE INDEX jobs_to_try ON jobs (tenant_id, try_at) WHERE try_at IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN try_at")
