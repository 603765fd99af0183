"""Sums of the ledger by quarter of an hour, kept with its rows; made now of the rows there are."""

from alembic import op

revision = "0016"
down_revision = "0015"

POLICY = "tenant_id = nullif(current_setting('carillon.tenant', true), '')"
COUNTS = (
    *("requests", "cached", "errors"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("characters", "pixel_steps", "audio_ms", "video_pixel_ms", "rows"),
    *("response_ms", "timed"),
)


def upgrade() -> None:
    counts = ", ".join(f"{name} bigint NOT NULL" for name in COUNTS)
    op.execute(
        f"""
        CREATE TABLE usage_totals (
            tenant_id text NOT NULL,
            began timestamptz NOT NULL,
            api_key_id text NOT NULL,
            model text NOT NULL,
            user_id text NOT NULL,
            {counts},
            money numeric NOT NULL,
            device_seconds float8 NOT NULL,
            PRIMARY KEY (tenant_id, began, api_key_id, model, user_id)
        )
        """
    )
    op.execute("COMMENT ON COLUMN usage_totals.began IS 'of a quarter of an hour, UTC'")
    op.execute("COMMENT ON COLUMN usage_totals.timed IS 'requests that response_ms is the sum of'")
    op.execute("ALTER TABLE usage_totals ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY of_tenant ON usage_totals USING ({POLICY})")
    op.execute("GRANT SELECT ON usage_totals TO carillon_tenant")
    # A writer of before would add rows to the ledger that are in no sum.
    op.execute("LOCK TABLE usage_records IN SHARE ROW EXCLUSIVE MODE")
    op.execute(
        """
        INSERT INTO usage_totals (
            tenant_id, began, api_key_id, model, user_id, requests, cached, errors,
            input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            characters, pixel_steps, audio_ms, video_pixel_ms, rows,
            money, device_seconds, response_ms, timed)
        SELECT
            tenant_id, date_bin('15 minutes', admitted_at, 'epoch'), api_key_id,
            coalesce(model, ''), coalesce(user_id, ''), count(*),
            count(*) FILTER (WHERE cache = 'hit'),
            count(*) FILTER (WHERE status_code >= 400 OR status = 'abandoned'),
            sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            coalesce(sum((other_units->>'characters')::bigint), 0),
            coalesce(sum((other_units->>'pixel_steps')::bigint), 0),
            coalesce(sum((other_units->>'audio_ms')::bigint), 0),
            coalesce(sum((other_units->>'video_pixel_ms')::bigint), 0),
            coalesce(sum((other_units->>'rows')::bigint), 0),
            sum(money), coalesce(sum(device_seconds), 0), coalesce(sum(response_time_ms), 0),
            count(response_time_ms)
        FROM usage_records GROUP BY 1, 2, 3, 4, 5
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE usage_totals")
