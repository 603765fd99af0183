"""Short names for deep directories: a unix socket's path has about 107 bytes.

Place: under the stores and Ray, which both put sockets below the state directory. A checkout may
lie deeper than a socket path allows; then a symbolic link in a private directory of `/tmp` stands
for the state directory. Nothing is stored there but the link and HAProxy's run-time files.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from cli.failure import Failure

SOCKET_PATH_BYTES = 103
"""macOS has the least: 104 with the final zero."""


class ShortPaths:
    """The short directory of one installation.

    Args:
        state: the state directory.
        base: where short directories are made.
    """

    def __init__(self, state: Path, base: Path | None = None) -> None:
        self.state = state
        base = base or Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir())  # noqa: S108 - short on purpose
        digest = hashlib.sha256(f"{os.getuid()}:{state}".encode()).hexdigest()
        self.directory = base / f"cl-{digest[:8]}"

    def of(self, path: Path, room: int) -> Path:
        """`path`, or a shorter name for it when `room` more bytes would not fit in a socket path.

        `path` lies in the state directory.
        """
        if len(os.fsencode(path)) + room <= SOCKET_PATH_BYTES:
            return path
        link = self.private() / "s"
        if not link.is_symlink() or link.readlink() != self.state:
            link.unlink(missing_ok=True)
            link.symlink_to(self.state)
        return link / path.relative_to(self.state)

    def remove(self) -> None:
        """Remove the short directory, once nothing uses it. What the link names stays."""
        if self.directory.is_dir() and not self.directory.is_symlink():
            shutil.rmtree(self.directory, ignore_errors=True)

    def private(self) -> Path:
        """The short directory, made if needed; only this user can write in it."""
        self.directory.mkdir(mode=0o711, exist_ok=True)
        found = self.directory.lstat()
        if found.st_uid != os.getuid() or self.directory.is_symlink():
            raise Failure(f"{self.directory} belongs to somebody else; remove it first")
        self.directory.chmod(0o711)  # PostgreSQL under root runs as another user and passes through
        return self.directory
