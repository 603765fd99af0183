"""Tenants and API keys."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE tenants (
            id text PRIMARY KEY,
            name text NOT NULL,
            plan text NOT NULL,
            is_active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            revision bigint NOT NULL DEFAULT 0,
            announced_revision bigint NOT NULL DEFAULT 0
        )
        """
    )
    op.execute(
        """
        COMMENT ON COLUMN tenants.revision IS
        'Counts changes of plan and keys; the epoch in Valkey is renewed until announced_revision
        has caught up'
        """
    )
    op.execute(
        """
        CREATE INDEX tenants_unannounced ON tenants (id) WHERE announced_revision < revision
        """
    )
    op.execute(
        """
        CREATE TABLE api_keys (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            user_id text,
            key_name text NOT NULL,
            key_hash bytea NOT NULL UNIQUE,
            tier text,
            requests_per_hour integer CHECK (requests_per_hour > 0),
            scopes text[] NOT NULL,
            allowed_models text[],
            is_active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            last_used_at timestamptz,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, created_at, id)")


def downgrade() -> None:
    op.execute("DROP TABLE api_keys")
    op.execute("DROP TABLE tenants")
