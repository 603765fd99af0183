"""Device seconds of each request."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # A constant default touches no row, however many there are; partitions follow.
    op.execute("ALTER TABLE usage_records ADD COLUMN device_seconds float8 NOT NULL DEFAULT 0")


def downgrade() -> None:
    op.execute("ALTER TABLE usage_records DROP COLUMN device_seconds")
