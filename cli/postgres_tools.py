"""PostgreSQL's own tools, from the wheel: dump and restore.

Place: under `carillon backup` and `carillon restore`. The server's URL may hold a password, so it
never becomes an argument: libpq reads it from the child's environment.
"""

import os
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from cli.embedded import postgres_binaries
from cli.failure import Failure

TIMEOUT_S = 3600
QUOTED_CHARACTERS = 1000


def dump(database_url: str, to: Path) -> None:
    """The whole database in PostgreSQL's custom format. Raises Failure."""
    _run("pg_dump", database_url, "--format=custom", "--no-owner", f"--file={to}")


def load(database_url: str, dumped: Path) -> None:
    """A dump into an empty database: all of it, or nothing. Raises Failure."""
    name = make_url(database_url).database
    _run(
        "pg_restore",
        database_url,
        *("--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={name}"),
        str(dumped),
    )


def _run(tool: str, database_url: str, *arguments: str) -> None:
    done = subprocess.run(
        [postgres_binaries() / tool, "--no-password", *arguments],
        env=os.environ | _environment(database_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        raise Failure(f"{tool} failed: {done.stderr.strip()[-QUOTED_CHARACTERS:]}")


def _environment(database_url: str) -> dict[str, str]:
    """What libpq reads instead of arguments (PostgreSQL's manual, 32.15)."""
    url = make_url(database_url)
    host = url.query.get("host", url.host)
    found = {
        "PGHOST": host if isinstance(host, str) else None,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        "PGDATABASE": url.database,
        "PGSSLMODE": url.query.get("sslmode"),
    }
    return {name: value for name, value in found.items() if isinstance(value, str)}
