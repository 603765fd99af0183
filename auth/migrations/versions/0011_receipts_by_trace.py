"""Receipts by a response's `x-request-id`, without looking through all of a tenant's rows."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # Of every month, and of those that are made later, when they are attached.
    op.execute(
        "CREATE INDEX usage_by_trace"
        " ON usage_records (tenant_id, (details->>'trace_id'), admitted_at)"
    )


def downgrade() -> None:
    op.execute("DROP INDEX usage_by_trace")
