"""Alembic's entry point: renders migrations as SQL; `auth/migrate.py` executes it.

Place in the path: start-up only. Rendering needs no database driver, so the one driver of this
project stays asyncpg. The transaction is the caller's.
"""

from alembic import context

context.configure(dialect_name="postgresql", transactional_ddl=False)
context.run_migrations()
