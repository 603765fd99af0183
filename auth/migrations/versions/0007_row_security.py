"""Row-level security: a tenant's statements see that tenant's rows alone (ADR 0025)."""

from alembic import op

revision = "0007"
down_revision = "0006"

ROLE = "carillon_tenant"
TENANT = "nullif(current_setting('carillon.tenant', true), '')"
BY_COLUMN = (
    *("memberships", "invitations", "refresh_tokens", "user_identities", "api_keys"),
    *("usage_records", "media", "media_storage", "jobs", "files"),
)
POLICIES = {
    "tenants": f"id = {TENANT}",
    "users": f"id IN (SELECT user_id FROM memberships WHERE tenant_id = {TENANT})",  # noqa: S608  # ours
    **dict.fromkeys(BY_COLUMN, f"tenant_id = {TENANT}"),
}
# No more than its requests need: no plan, no password's hash, no row of the ledger can be written.
GRANTS = {
    "tenants": "SELECT, UPDATE (name, time_zone, revision)",
    "users": "SELECT (id, email, name, is_active, created_at)",
    "memberships": "SELECT, UPDATE (role), DELETE",
    "invitations": "SELECT, INSERT, UPDATE",
    "refresh_tokens": "SELECT (user_id, tenant_id, revoked_at), UPDATE (revoked_at)",
    "api_keys": "SELECT, INSERT, UPDATE",
    "usage_records": "SELECT",
    "media": "SELECT, INSERT, UPDATE",
    "media_storage": "SELECT, INSERT, UPDATE",
    "jobs": "SELECT, INSERT, UPDATE, DELETE",
    "files": "SELECT, INSERT, UPDATE, DELETE",
}


def upgrade() -> None:
    # The role was made before: auth/tenant_role.py.
    op.execute(
        f"""
        DO $$
        BEGIN
            IF NOT has_schema_privilege('{ROLE}', current_schema(), 'USAGE') THEN
                EXECUTE 'GRANT USAGE ON SCHEMA ' || quote_ident(current_schema()) || ' TO {ROLE}';
            END IF;
        END $$
        """
    )
    # Not forced: the owner migrates, backs up and serves everybody.
    for table, policy in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY of_tenant ON {table} USING ({policy})")
    ours = POLICIES["usage_records"].replace("'", "''")
    op.execute(
        _each_month(
            "'ALTER TABLE ' || month || ' ENABLE ROW LEVEL SECURITY'",
            f"'CREATE POLICY of_tenant ON ' || month || ' USING ({ours})'",
        )
    )
    for table, rights in GRANTS.items():
        op.execute(f"GRANT {rights} ON {table} TO {ROLE}")


def downgrade() -> None:
    for table in GRANTS:
        op.execute(f"REVOKE ALL ON {table} FROM {ROLE}")
    op.execute(
        _each_month(
            "'DROP POLICY of_tenant ON ' || month",
            "'ALTER TABLE ' || month || ' DISABLE ROW LEVEL SECURITY'",
        )
    )
    for table in POLICIES:
        op.execute(f"DROP POLICY of_tenant ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def _each_month(*statements: str) -> str:
    """Statements for every partition of the ledger, as expressions over its name, `month`."""
    return f"""
        DO $$
        DECLARE
            month regclass;
        BEGIN
            FOR month IN
                SELECT inhrelid FROM pg_inherits WHERE inhparent = 'usage_records'::regclass
            LOOP
                {" ".join(f"EXECUTE {statement};" for statement in statements)}
            END LOOP;
        END $$
        """  # noqa: S608  # ours
