"""API keys: how they are made, recognised and shown, and the pepper they are hashed with.

Place in the path: step 2 (identify) hashes the presented key. This module does not know where
hashes are kept.

A key is `ck-<key id>-<secret>`: the id is public (it finds the row and is what people see), the
secret is 256 random bits. Such keys cannot be guessed, so a fast keyed hash (HMAC-SHA-256, RFC
2104) is enough; the pepper keeps a stolen table useless. Passwords would need argon2 instead.
"""

import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

KEY_PATTERN = re.compile(r"ck-([0-9a-f]{16})-[A-Za-z0-9_-]{43}")
KEY_ID_BYTES = 8
SECRET_BYTES = 32
PEPPER_BYTES = 48


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment it is known in full."""

    key_id: str
    secret: SecretStr
    """The whole key, to be shown once."""
    digest: bytes
    """What is stored."""


class KeyHasher:
    """Makes keys and their digests with one pepper.

    Args:
        pepper: the installation's secret; changing it invalidates every key.
    """

    def __init__(self, pepper: SecretStr) -> None:
        self._pepper = pepper.get_secret_value().encode()

    def generate(self) -> NewKey:
        """A new key with 256 bits of randomness."""
        key_id = secrets.token_hex(KEY_ID_BYTES)
        key = f"ck-{key_id}-{secrets.token_urlsafe(SECRET_BYTES)}"
        return NewKey(key_id, SecretStr(key), self.digest(key))

    def digest(self, key: str) -> bytes:
        """HMAC-SHA-256 of the whole key: 32 bytes."""
        return hmac.digest(self._pepper, key.encode(), "sha256")

    def matches(self, key: str, digest: bytes) -> bool:
        """Whether `key` has this digest, in time that does not depend on where they differ."""
        return hmac.compare_digest(self.digest(key), digest)


def key_id_of(key: str) -> str | None:
    """The public id inside a well-formed key, or None."""
    match = KEY_PATTERN.fullmatch(key)
    return match.group(1) if match else None


def display_prefix(key_id: str) -> str:
    """What lists show of a key: enough to tell keys apart, nothing secret."""
    return f"ck-{key_id}-…"


def create_pepper(path: Path) -> bool:
    """Write a random pepper to `path` with mode 0600, unless one is there; True when written.

    The file appears complete or not at all, and an existing one is never replaced: losing a
    pepper loses every key.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(PEPPER_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)  # fails when the name exists, which a rename would not
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
