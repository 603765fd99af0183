"""`carillon backup` and `carillon restore`: everything that cannot be made again, in one file.

Place: beside `up`. A backup holds the database, the pepper (without which no key is good), the
operator's key and media that lie in the state directory. Windows and cached answers are not in it:
they begin anew. The file is as secret as what is in it: mode 0600.
"""

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from auth.migrate import migrate, prepare_role
from cli.accounts import API_KEY
from cli.embedded import Child, PostgreSQL
from cli.failure import Failure
from cli.postgres_tools import dump, load
from cli.run_state import RunFile
from cli.secrets_files import write_secret
from cli.short_paths import ShortPaths
from core.settings import environment

FORMAT = 1
MANIFEST, DATABASE = "manifest.json", "database.dump"
SECRETS = ("pepper", API_KEY)
MEDIA = "media"
STOP_S = 30.0


class Manifest(BaseModel):
    """What a backup says of itself."""

    model_config = ConfigDict(extra="forbid")

    format: int
    made_at: datetime


def back_up(state: Path, to: Path) -> Path:
    """Write a backup of this installation, running or not. Raises Failure."""
    if to.exists():
        raise Failure(f"{to} is there already")
    with tempfile.TemporaryDirectory(prefix="carillon-backup-") as name, _database(state) as url:
        folder = Path(name)
        manifest = Manifest(format=FORMAT, made_at=datetime.now(UTC))
        (folder / MANIFEST).write_text(manifest.model_dump_json())
        dump(url, folder / DATABASE)
        parts = [folder / MANIFEST, folder / DATABASE]
        parts += [path for path in (state / each for each in (*SECRETS, MEDIA)) if path.exists()]
        _pack(parts, to)
    return to


def restore(state: Path, backup: Path) -> datetime:
    """Make an installation of a backup in an empty state directory; when the backup was made.

    Raises Failure: nothing that is there is ever overwritten.
    """
    if RunFile(state).running() is not None:
        raise Failure("Carillon is running here: stop it first, with make stop")
    there = [name for name in (*SECRETS, MEDIA, PostgreSQL.name) if (state / name).exists()]
    if there:
        raise Failure(f"{state} is not empty ({', '.join(there)}): move it away, or name another")
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="carillon-restore-") as name:
        folder = Path(name)
        manifest = _unpacked(backup, folder)
        with _database(state) as url:
            prepare_role(url)  # the dump grants it what it may do
            load(url, folder / DATABASE)
            migrate(url)
        for secret in SECRETS:
            if (folder / secret).exists():
                write_secret(state / secret, (folder / secret).read_text())
        if (folder / MEDIA).exists():
            shutil.copytree(folder / MEDIA, state / MEDIA)
    return manifest.made_at


@contextmanager
def _database(state: Path) -> Iterator[str]:
    """The URL of a PostgreSQL that answers: the operator's, or the embedded one, started if need
    be and stopped again.
    """
    url = environment("DATABASE_URL")
    if url is not None:
        yield url
        return
    server = PostgreSQL(state, ShortPaths(state))
    if server.answers():
        yield server.url
        return

    def stop(child: Child) -> None:
        child.send_signal(server.stop_signal)
        child.wait(STOP_S)

    with ExitStack() as started:
        server.start(lambda child: started.callback(stop, child))
        yield server.url


def _pack(parts: list[Path], to: Path) -> None:
    """One archive, which appears whole or not at all, for its owner's eyes."""
    draft = to.with_name(f".{to.name}.{time.time_ns()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            for part in parts:
                tar.add(part, arcname=part.name)
        draft.replace(to)
    finally:
        draft.unlink(missing_ok=True)


def _unpacked(backup: Path, folder: Path) -> Manifest:
    """The archive's parts in `folder`. Raises Failure for what is no backup of ours."""
    try:
        with tarfile.open(backup) as tar:
            # The data filter refuses paths and links that lead out of the folder (PEP 706).
            tar.extractall(folder, filter="data")
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, EOFError, tarfile.TarError, ValidationError) as error:
        raise Failure(f"{backup} is no backup that can be read: {type(error).__name__}") from error
    if manifest.format != FORMAT or not (folder / DATABASE).exists():
        raise Failure(f"{backup} was made by another version (format {manifest.format})")
    return manifest
