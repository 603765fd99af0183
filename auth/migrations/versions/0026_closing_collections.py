"""Collections of documents that are being deleted, in which nothing new is finished."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute("ALTER TABLE rag_collections ADD COLUMN closing boolean NOT NULL DEFAULT false")
    op.execute(
        "COMMENT ON COLUMN rag_collections.closing IS"
        " 'Its passages are being deleted; the row goes when they are gone'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE rag_collections DROP COLUMN closing")
