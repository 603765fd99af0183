"""The key that made a key: its limits hold over what it made."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # Of keys that are there already nobody knows which key made them.
    op.execute("ALTER TABLE api_keys ADD COLUMN parent_id text REFERENCES api_keys (id)")
    op.execute("CREATE INDEX api_keys_made_by ON api_keys (parent_id) WHERE parent_id IS NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE api_keys DROP COLUMN parent_id")
