"""What the app builder made for tenants, and what of it is published."""

from alembic import op

revision = "0018"
down_revision = "0017"

ROLE = "carillon_tenant"
POLICY = "tenant_id = nullif(current_setting('carillon.tenant', true), '')"
TABLES = ("apps", "app_deployments")


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE apps (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            model text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('component', 'app')),
            name text NOT NULL,
            framework text NOT NULL,
            description text NOT NULL,
            facts jsonb NOT NULL,
            files jsonb NOT NULL,
            bytes bigint NOT NULL,
            page text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (tenant_id, id)
        )
        """
    )
    op.execute("COMMENT ON COLUMN apps.page IS 'The static build: what is shown and published'")
    op.execute("CREATE INDEX apps_of_tenant ON apps (tenant_id, created_at, id)")
    op.execute(
        """
        CREATE TABLE app_deployments (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES tenants (id),
            app_id text NOT NULL UNIQUE,
            hash text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            FOREIGN KEY (tenant_id, app_id) REFERENCES apps (tenant_id, id)
                DEFERRABLE INITIALLY DEFERRED
        )
        """
    )
    op.execute("COMMENT ON COLUMN app_deployments.hash IS 'The blob in the media store'")
    op.execute("CREATE INDEX app_deployments_of_blob ON app_deployments (tenant_id, hash)")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_tenant ON {table} USING ({POLICY})")
        op.execute(f"GRANT SELECT, INSERT, DELETE ON {table} TO {ROLE}")


def downgrade() -> None:
    op.execute("DROP TABLE app_deployments")
    op.execute("DROP TABLE apps")
