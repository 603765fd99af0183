"""When a member's role was said: an older token of an identity provider does not bring it back."""

from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    # Of those that are there it is not known: the next token says.
    op.execute("ALTER TABLE memberships ADD COLUMN role_said_at timestamptz")
    op.execute("GRANT UPDATE (role_said_at) ON memberships TO carillon_tenant")


def downgrade() -> None:
    op.execute("ALTER TABLE memberships DROP COLUMN role_said_at")
