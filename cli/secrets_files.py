"""Secrets as files that only their owner reads.

Place: `up` keeps the Ray token and the first API key this way; the pepper is `auth.keys`' own.
"""

import os
import secrets
from pathlib import Path

TOKEN_BYTES = 32


def write_secret(path: Path, secret: str) -> None:
    """Write `secret` with mode 0600; the file appears whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    draft.replace(path)


def random_token(path: Path) -> Path:
    """`path`, holding a random token: the one that was there, or a new one."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(TOKEN_BYTES))
    return path
