"""People: users, memberships, invitations, sessions, users of identity providers."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE tenants ADD COLUMN time_zone text NOT NULL DEFAULT 'UTC'")
    op.execute("COMMENT ON COLUMN tenants.time_zone IS 'IANA name'")
    op.execute(
        """
        CREATE TABLE users (
            id text PRIMARY KEY,
            email text,
            name text NOT NULL,
            password_hash text,
            is_active boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX users_by_email ON users (lower(email))")
    op.execute(
        """
        COMMENT ON COLUMN users.email IS
        'What local users log in with; null for users of a foreign identity provider'
        """
    )
    op.execute(
        """
        CREATE TABLE memberships (
            tenant_id text NOT NULL REFERENCES tenants (id),
            user_id text NOT NULL REFERENCES users (id),
            role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, user_id)
        )
        """
    )
    op.execute("CREATE INDEX memberships_of_user ON memberships (user_id, created_at)")
    op.execute(
        """
        CREATE TABLE invitations (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            email text NOT NULL,
            role text NOT NULL CHECK (role IN ('owner', 'admin', 'member', 'viewer')),
            token_digest bytea NOT NULL UNIQUE,
            invited_by text REFERENCES users (id),
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            accepted_at timestamptz,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX invitations_of_tenant ON invitations (tenant_id, created_at, id)")
    op.execute(
        """
        CREATE TABLE refresh_tokens (
            id text PRIMARY KEY,
            family text NOT NULL,
            user_id text NOT NULL REFERENCES users (id),
            tenant_id text NOT NULL REFERENCES tenants (id),
            digest bytea NOT NULL UNIQUE,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            revoked_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX refresh_tokens_of_family ON refresh_tokens (family)")
    op.execute("CREATE INDEX refresh_tokens_of_user ON refresh_tokens (user_id)")
    op.execute(
        """
        COMMENT ON COLUMN refresh_tokens.family IS
        'A session: all that were rotated from one login. A used one that comes again ends it'
        """
    )
    op.execute(
        """
        CREATE TABLE user_identities (
            issuer text NOT NULL,
            subject text NOT NULL,
            tenant_id text NOT NULL REFERENCES tenants (id),
            user_id text NOT NULL REFERENCES users (id),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (issuer, subject, tenant_id)
        )
        """
    )
    op.execute("ALTER TABLE api_keys ADD COLUMN granted_by text REFERENCES users (id)")
    op.execute(
        """
        COMMENT ON COLUMN api_keys.granted_by IS
        'The user who made it: it never does more than that user may do now'
        """
    )
    op.execute("ALTER TABLE api_keys ADD COLUMN rotated_from text")
    op.execute("COMMENT ON COLUMN api_keys.rotated_from IS 'The key that it succeeds'")
    # Operators' keys have every scope; `members` is a new one.
    op.execute(
        """
        UPDATE api_keys SET scopes = array_append(scopes, 'members') WHERE 'admin' = ANY (scopes)
        """
    )


def downgrade() -> None:
    op.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'members')")
    op.execute("ALTER TABLE api_keys DROP COLUMN rotated_from")
    op.execute("ALTER TABLE api_keys DROP COLUMN granted_by")
    op.execute("DROP TABLE user_identities")
    op.execute("DROP TABLE refresh_tokens")
    op.execute("DROP TABLE invitations")
    op.execute("DROP TABLE memberships")
    op.execute("DROP TABLE users")
    op.execute("ALTER TABLE tenants DROP COLUMN time_zone")
