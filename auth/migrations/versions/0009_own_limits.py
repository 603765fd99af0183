"""Own limits of keys, and of users in a tenant: windows as plans.yaml writes them."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys ADD COLUMN limits jsonb")
    op.execute("ALTER TABLE memberships ADD COLUMN limits jsonb")
    op.execute("GRANT UPDATE (limits) ON memberships TO carillon_tenant")


def downgrade() -> None:
    op.execute("ALTER TABLE memberships DROP COLUMN limits")
    op.execute("ALTER TABLE api_keys DROP COLUMN limits")
