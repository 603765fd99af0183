"""Numbered migrations of the PostgreSQL schema, run by `auth/migrate.py`."""
