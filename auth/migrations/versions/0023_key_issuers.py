"""Who asked for a key, and for an invitation: what ends with a key that leaked."""

from alembic import op

revision = "0023"
down_revision = "0022"

MEANING = "What asked for it: the id of a key, user:…, or cli"


def upgrade() -> None:
    # Of those that are there already it is not known, but for keys that a key has made.
    for table in ("api_keys", "invitations"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN issued_by text")
        op.execute(f"COMMENT ON COLUMN {table}.issued_by IS '{MEANING}'")
        op.execute(
            f"CREATE INDEX {table}_issued_by ON {table} (issued_by) WHERE issued_by IS NOT NULL"
        )
    op.execute("UPDATE api_keys SET issued_by = parent_id WHERE rotated_from IS NULL")


def downgrade() -> None:
    for table in ("api_keys", "invitations"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN issued_by")
