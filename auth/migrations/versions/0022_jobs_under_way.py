"""Jobs that have not ended, and those that were cancelled lately, are found without reading all."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("CREATE INDEX jobs_under_way ON jobs (id) WHERE status IN ('queued', 'in_progress')")
    op.execute("CREATE INDEX jobs_cancelled ON jobs (ended_at, id) WHERE status = 'cancelled'")


def downgrade() -> None:
    op.execute("DROP INDEX jobs_cancelled")
    op.execute("DROP INDEX jobs_under_way")
