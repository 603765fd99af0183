"""Jobs wait for a place in their rows, and whoever runs them is told."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN waiting boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE jobs ADD CHECK (NOT waiting OR status = 'queued')")
    op.execute("COMMENT ON COLUMN jobs.waiting IS 'Handed over, and not begun'")
    op.execute("CREATE INDEX jobs_waiting ON jobs (kind, tenant_id, created_at, id) WHERE waiting")
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
        WHEN (NEW.waiting) EXECUTE FUNCTION tell_of_work()
        """
    )
    op.execute(
        """
        CREATE TRIGGER tell_of_work AFTER UPDATE OF status, waiting ON jobs FOR EACH ROW
        WHEN ((NEW.waiting AND NOT OLD.waiting)
            OR (NEW.status = 'cancelled' AND OLD.status <> 'cancelled'))
        EXECUTE FUNCTION tell_of_work()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_of_work ON jobs")
    op.execute("DROP TRIGGER tell_of_new_work ON jobs")
    op.execute("DROP FUNCTION tell_of_work")
    op.execute("DROP INDEX jobs_running")
    op.execute("ALTER TABLE jobs DROP COLUMN waiting")
