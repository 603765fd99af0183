"""The ledger by months, with money."""

from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = """
    request_id, tenant_id, api_key_id, user_id, status, endpoint, operation, model, revision,
    streamed, cache, status_code, error_code, error_message, response_time_ms, ttft_ms, exact,
    input_tokens, cached_tokens, output_tokens, reasoning_tokens, other_units, details,
    admitted_at, settled_at
"""


def upgrade() -> None:
    op.execute("ALTER TABLE usage_records RENAME TO usage_records_before")
    op.execute("DROP INDEX usage_of_tenant")
    op.execute("DROP INDEX usage_by_time")
    # Months are told apart by when a request was admitted, which never changes.
    op.execute(
        """
        CREATE TABLE usage_records (
            request_id text NOT NULL,
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
            money numeric(24, 9) NOT NULL DEFAULT 0,
            currency text,
            prices text,
            details jsonb NOT NULL DEFAULT '{}',
            admitted_at timestamptz NOT NULL,
            settled_at timestamptz,
            PRIMARY KEY (request_id, admitted_at)
        ) PARTITION BY RANGE (admitted_at)
        """
    )
    op.execute("COMMENT ON COLUMN usage_records.prices IS 'Version of the price book'")
    op.execute("CREATE INDEX usage_of_tenant ON usage_records (tenant_id, admitted_at)")
    op.execute("CREATE INDEX usage_by_time ON usage_records (admitted_at)")
    # Rows of a month that has no partition yet: none is ever refused.
    op.execute("CREATE TABLE usage_records_other PARTITION OF usage_records DEFAULT")
    op.execute(_copied("usage_records_before"))
    op.execute("DROP TABLE usage_records_before")


def downgrade() -> None:
    op.execute("ALTER TABLE usage_records RENAME TO usage_records_by_month")
    op.execute("DROP INDEX usage_of_tenant")
    op.execute("DROP INDEX usage_by_time")
    op.execute(
        "CREATE TABLE usage_records (LIKE usage_records_by_month INCLUDING DEFAULTS"
        " INCLUDING GENERATED INCLUDING CONSTRAINTS, PRIMARY KEY (request_id))"
    )
    for column in ("money", "currency", "prices"):
        op.execute(f"ALTER TABLE usage_records DROP COLUMN {column}")
    op.execute(_copied("usage_records_by_month"))
    op.execute("DROP TABLE usage_records_by_month")
    op.execute("CREATE INDEX usage_of_tenant ON usage_records (tenant_id, admitted_at)")
    op.execute("CREATE INDEX usage_by_time ON usage_records (admitted_at)")


def _copied(table: str) -> str:
    return f"INSERT INTO usage_records ({COLUMNS}) SELECT {COLUMNS} FROM {table}"  # noqa: S608  # ours
