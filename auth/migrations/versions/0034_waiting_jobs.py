"""Jobs wait for a place in their rows, and whoever runs them is told."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN waiting_since timestamptz")
    op.execute("ALTER TABLE jobs ADD CHECK (waiting_since IS NULL OR status = 'queued')")
    op.execute("COMMENT ON COLUMN jobs.waiting_since IS 'Handed over then, and not begun'")
    op.execute(
        "CREATE INDEX jobs_waiting ON jobs (kind, tenant_id, waiting_since)"
        " WHERE waiting_since IS NOT NULL"
    )
    op.execute("CREATE INDEX jobs_running ON jobs (kind, tenant_id) WHERE status = 'in_progress'")
    op.execute(
        """
        CREATE FUNCTION tell_of_work() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('job_work', '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER tell_of_new_work AFTER INSERT ON jobs FOR EACH ROW
        WHEN (NEW.waiting_since IS NOT NULL) EXECUTE FUNCTION tell_of_work()
        """
    )
    op.execute(
        """
        CREATE TRIGGER tell_of_work AFTER UPDATE OF status, waiting_since ON jobs FOR EACH ROW
        WHEN ((NEW.waiting_since IS NOT NULL AND OLD.waiting_since IS NULL)
            OR (NEW.status = 'cancelled' AND OLD.status <> 'cancelled'))
        EXECUTE FUNCTION tell_of_work()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_of_work ON jobs")
    op.execute("DROP TRIGGER tell_of_new_work ON jobs")
    op.execute("DROP FUNCTION tell_of_work")
    op.execute("DROP INDEX jobs_running")
    op.execute("ALTER TABLE jobs DROP COLUMN waiting_since")
