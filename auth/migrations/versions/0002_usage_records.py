"""The usage ledger: one row per request id."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # No foreign keys: a row that was earned is written whatever became of its tenant.
    op.execute(
        """
        CREATE TABLE usage_records (
            request_id text PRIMARY KEY,
            tenant_id text NOT NULL,
            api_key_id text NOT NULL,
            user_id text,
            status text NOT NULL CHECK (status IN ('admitted', 'settled', 'abandoned')),
            endpoint text,
            operation text,
            model text,
            revision text,
            streamed boolean NOT NULL DEFAULT false,
            cache text NOT NULL DEFAULT 'none',
            status_code integer,
            error_code text,
            error_message text,
            response_time_ms bigint,
            ttft_ms bigint,
            exact boolean,
            input_tokens bigint NOT NULL DEFAULT 0,
            cached_tokens bigint NOT NULL DEFAULT 0,
            output_tokens bigint NOT NULL DEFAULT 0,
            reasoning_tokens bigint NOT NULL DEFAULT 0,
            total_tokens bigint GENERATED ALWAYS AS (input_tokens + output_tokens) STORED,
            other_units jsonb NOT NULL DEFAULT '{}',
            details jsonb NOT NULL DEFAULT '{}',
            admitted_at timestamptz NOT NULL,
            settled_at timestamptz
        )
        """
    )
    op.execute("CREATE INDEX usage_of_tenant ON usage_records (tenant_id, admitted_at)")
    op.execute("CREATE INDEX usage_by_time ON usage_records (admitted_at)")


def downgrade() -> None:
    op.execute("DROP TABLE usage_records")
