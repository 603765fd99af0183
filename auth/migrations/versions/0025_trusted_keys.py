"""Keys whose holder may name, signed, the human behind a request."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys ADD COLUMN trusted boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute("ALTER TABLE api_keys DROP COLUMN trusted")
