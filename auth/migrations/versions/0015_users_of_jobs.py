"""Who asked for a job: behind one key there may be several people."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    # Of jobs that are there already it is the key's own user.
    op.execute("ALTER TABLE jobs ADD COLUMN user_id text")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN user_id")
