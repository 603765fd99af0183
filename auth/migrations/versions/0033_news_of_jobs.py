"""Whoever watches a job is told that its row has changed."""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION tell_of_job() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('job_changes', NEW.id);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER tell_of_job AFTER UPDATE OF status, progress ON jobs FOR EACH ROW
        WHEN ((OLD.status, OLD.progress) IS DISTINCT FROM (NEW.status, NEW.progress))
        EXECUTE FUNCTION tell_of_job()
        """
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_of_job ON jobs")
    op.execute("DROP FUNCTION tell_of_job")
