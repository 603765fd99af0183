"""Blobs: bytes named by their SHA-256, in any file system that fsspec knows.

Place in the path: under `MediaStore`. A blob appears whole or not at all and never changes. Who
owns it and until when is in PostgreSQL (`auth.media`), not here.
"""

import asyncio
import functools
import logging
import os
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from core.errors import NotFound, SettingsError, StoreUnavailable
from ingress.media.draft import Draft

T = TypeVar("T")
logger = logging.getLogger("ray.serve")

PIECE_BYTES = 2**20
"""Read at a time: with the number of readers, all the memory that delivery takes."""
THREADS = 16
DRAFT_LIFE_S = 3600
LOCAL = {"file", "local"}


class Blobs:
    """A directory of blobs. Every method raises StoreUnavailable when the file system fails.

    Args:
        url: where they are: a directory, or any fsspec URL such as `s3://bucket/prefix`.
        options: the file system's own options, such as `endpoint_url`.
    """

    def __init__(self, url: str, options: dict[str, Any] | None = None) -> None:
        try:
            # Listings are never cached: other replicas write here too.
            given = {"use_listings_cache": False} | (options or {})
            self._files, root = fsspec.core.url_to_fs(url, **given)
        except (ImportError, ValueError) as error:
            raise SettingsError(f"the media store {url!r} cannot be used: {error}") from error
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        self._local = bool(LOCAL & {protocol} if isinstance(protocol, str) else LOCAL & {*protocol})
        # A pool of its own: a slow store must not keep others from the loop's default one.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="media")

    async def write(self, name: str, data: bytes) -> None:
        """Keep `data` as `name`, unless it is there."""
        try:
            await self._run(functools.partial(self._write, name, data))
        except NotFound as error:  # the bucket, for one
            raise StoreUnavailable("the media store cannot be written to") from error

    async def size(self, name: str) -> int:
        """Bytes of `name`. Raises NotFound."""
        return int(await self._run(lambda: self._files.size(self._path(name)) or 0))

    async def pieces(self, name: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `end`, a piece at a time. Raises NotFound."""
        path = self._path(name)
        while start < end:
            stop = min(start + PIECE_BYTES, end)
            read = functools.partial(self._files.cat_file, path, start=start, end=stop)
            piece: bytes = await self._run(read)
            if len(piece) != stop - start:
                raise StoreUnavailable("the media store gave fewer bytes than it has")
            yield piece
            start = stop

    @asynccontextmanager
    async def draft(self) -> AsyncIterator[Draft]:
        """A file to write what is not known as a whole yet; gone after the block."""
        draft = Draft(await self._run(self._new_draft), self._run)
        try:
            yield draft
        finally:
            await self._run(functools.partial(draft.path.unlink, missing_ok=True))

    async def adopt(self, name: str, draft: Draft) -> None:
        """Keep a draft as `name`, unless it is there."""
        try:
            await self._run(functools.partial(self._adopt, name, draft))
        except NotFound as error:  # the bucket, for one
            raise StoreUnavailable("the media store cannot be written to") from error

    async def delete(self, name: str) -> None:
        """Forget `name`; nothing happens when it is not there."""
        await self._run(functools.partial(self._delete, name))

    async def sweep_drafts(self) -> None:
        """Remove what writers that were killed left behind. Object stores leave nothing."""
        if self._local:
            await self._run(self._sweep_drafts)

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        if self._files.exists(path) and self._files.size(path) == len(data):
            return
        if not self._local:
            self._files.pipe_file(path, data)  # appears when the upload is complete
            return
        draft = self._new_draft()
        with draft.open("wb") as file:
            file.write(data)
        self._move(draft, path)

    def _new_draft(self) -> Path:
        """An empty file: beside the blobs, so that it can become one, or on this machine's disk."""
        if not self._local:
            handle, name = tempfile.mkstemp(prefix="carillon-draft-")
            os.close(handle)
            return Path(name)
        draft = self._drafts() / secrets.token_hex(8)
        Path(self._root).mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.parent.mkdir(exist_ok=True)
        draft.touch()
        return draft

    def _adopt(self, name: str, draft: Draft) -> None:
        path = self._path(name)
        if self._files.exists(path) and self._files.size(path) == draft.size:
            return
        if self._local:
            self._move(draft.path, path)
        else:
            self._files.put_file(str(draft.path), path)  # in parts, whatever its size

    def _move(self, draft: Path, path: str) -> None:
        """Make a draft a blob, its bytes on the disk before its name."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(target)

    def _delete(self, name: str) -> None:
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return

    def _sweep_drafts(self) -> None:
        oldest = time.time() - DRAFT_LIFE_S
        for draft in self._drafts().glob("*"):
            if draft.stat().st_mtime < oldest:
                draft.unlink(missing_ok=True)

    def _drafts(self) -> Path:
        return Path(self._root) / "drafts"

    def _path(self, name: str) -> str:
        # Two levels of directories: no one of them grows without bound.
        return f"{self._root}/{name[:2]}/{name[2:4]}/{name}"

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work)
        except FileNotFoundError as error:
            raise NotFound("no such media") from error
        except Exception as error:  # every file system has errors of its own
            logger.warning("the media store fails: %s: %s", type(error).__name__, error)
            raise StoreUnavailable("the media store does not answer", retry_after_s=1.0) from error
