"""What steps of workflow runs made, so that none is made twice."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workflow_steps (
            run_id text NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
            tenant_id text NOT NULL REFERENCES tenants (id),
            step text NOT NULL,
            item integer NOT NULL DEFAULT -1,
            status text NOT NULL
                CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped')),
            tries integer NOT NULL DEFAULT 0,
            request_id text,
            cache text,
            output jsonb,
            blob text,
            error_code text,
            error_message text,
            change bigint NOT NULL,
            started_at timestamptz,
            ended_at timestamptz,
            PRIMARY KEY (run_id, step, item)
        )
        """
    )
    op.execute("COMMENT ON COLUMN workflow_steps.item IS 'Of a step over a list; -1 is the step'")
    op.execute("COMMENT ON COLUMN workflow_steps.request_id IS 'The latest call, in the ledger'")
    op.execute("COMMENT ON COLUMN workflow_steps.blob IS 'A large output, in the media store'")
    op.execute("COMMENT ON COLUMN workflow_steps.change IS 'Counts the changes of a run''s steps'")
    op.execute("CREATE INDEX workflow_steps_of_tenant ON workflow_steps (tenant_id, blob)")
    op.execute("ALTER TABLE workflow_steps ENABLE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY of_tenant ON workflow_steps"
        " USING (tenant_id = nullif(current_setting('carillon.tenant', true), ''))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON workflow_steps TO carillon_tenant")


def downgrade() -> None:
    op.execute("DROP TABLE workflow_steps")
