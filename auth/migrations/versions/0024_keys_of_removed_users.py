"""Keys that were made for a member end with the membership: those of members removed before."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.execute(
        """
        UPDATE api_keys k SET is_active = false, revoked_at = now()
        WHERE revoked_at IS NULL AND EXISTS (SELECT 1 FROM users u WHERE u.id = k.user_id)
            AND NOT EXISTS (
                SELECT 1 FROM memberships m
                WHERE m.user_id = k.user_id AND m.tenant_id = k.tenant_id
            )
        """
    )


def downgrade() -> None:
    """Ended keys stay so."""
