"""Sums of whole days (UTC) beside those of quarters of an hour: a year is read by days."""

from alembic import op

revision = "0019"
down_revision = "0018"

KEY = "tenant_id, seconds, began, api_key_id, model, user_id"


def upgrade() -> None:
    op.execute("LOCK TABLE usage_records IN SHARE ROW EXCLUSIVE MODE")  # the writer waits
    op.execute("ALTER TABLE usage_totals ADD COLUMN seconds integer NOT NULL DEFAULT 900")
    op.execute("ALTER TABLE usage_totals ALTER COLUMN seconds DROP DEFAULT")
    op.execute("COMMENT ON COLUMN usage_totals.seconds IS '900 or 86400: of what it is the sum'")
    op.execute("COMMENT ON COLUMN usage_totals.began IS 'of the quarter of an hour or day, UTC'")
    op.execute("ALTER TABLE usage_totals DROP CONSTRAINT usage_totals_pkey")
    op.execute(f"ALTER TABLE usage_totals ADD PRIMARY KEY ({KEY})")
    op.execute(
        """
        INSERT INTO usage_totals (
            tenant_id, seconds, began, api_key_id, model, user_id, requests, cached, errors,
            input_tokens, cached_tokens, output_tokens, reasoning_tokens,
            characters, pixel_steps, audio_ms, video_pixel_ms, rows,
            money, device_seconds, response_ms, timed)
        SELECT
            tenant_id, 86400, date_bin('1 day', began, 'epoch'), api_key_id, model, user_id,
            sum(requests), sum(cached), sum(errors),
            sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens),
            sum(characters), sum(pixel_steps), sum(audio_ms), sum(video_pixel_ms), sum(rows),
            sum(money), sum(device_seconds), sum(response_ms), sum(timed)
        FROM usage_totals GROUP BY 1, 2, 3, 4, 5, 6
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM usage_totals WHERE seconds <> 900")
    op.execute("ALTER TABLE usage_totals DROP CONSTRAINT usage_totals_pkey")
    op.execute("ALTER TABLE usage_totals DROP COLUMN seconds")
    op.execute(
        "ALTER TABLE usage_totals ADD PRIMARY KEY (tenant_id, began, api_key_id, model, user_id)"
    )
