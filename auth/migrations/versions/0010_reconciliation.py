"""What engines counted, and how far the ledger is from it."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    # Of no tenant: nothing is granted to the role that tenants' statements run as.
    op.execute(
        """
        CREATE TABLE engine_counters (
            replica text NOT NULL,
            model text NOT NULL,
            day date NOT NULL,
            calls bigint NOT NULL,
            units jsonb NOT NULL,
            unbilled jsonb NOT NULL,
            device_seconds float8 NOT NULL,
            reported_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (day, model, replica)
        )
        """
    )
    op.execute("COMMENT ON COLUMN engine_counters.day IS 'UTC, on which calls ended'")
    op.execute(
        """
        CREATE TABLE reconciliations (
            day date NOT NULL,
            model text NOT NULL,
            unit text NOT NULL,
            engine bigint NOT NULL,
            ledger bigint NOT NULL,
            estimated bigint NOT NULL,
            unbilled bigint NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (day, model, unit)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE reconciliations")
    op.execute("DROP TABLE engine_counters")
