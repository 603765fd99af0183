"""Steps of workflow runs say what they asked for, so that reruns take over what is unchanged."""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.execute("ALTER TABLE workflow_steps ADD COLUMN asked text")
    op.execute(
        "COMMENT ON COLUMN workflow_steps.asked IS"
        " 'Hash of the request, of answers that a rerun may take over'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE workflow_steps DROP COLUMN asked")
