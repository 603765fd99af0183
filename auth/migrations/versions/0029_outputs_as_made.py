"""Outputs of steps keep the order of their names, so that what takes over asks the same again."""

from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.execute("ALTER TABLE workflow_steps ALTER COLUMN output TYPE json USING output::json")
    op.execute(
        "COMMENT ON COLUMN workflow_steps.output IS"
        " 'As it was made: jsonb would change the order of names, and so later requests'"
    )


def downgrade() -> None:
    op.execute("COMMENT ON COLUMN workflow_steps.output IS NULL")
    op.execute("ALTER TABLE workflow_steps ALTER COLUMN output TYPE jsonb USING output::jsonb")
