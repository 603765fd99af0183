"""Judged files: which weights the committed scores are of.

Place in the path: measurement only. Evaluations write a list beside their scores, of the scores and
of every file that decides them, as `sha256sum --check` reads it. A test holds the list against what
is committed, so that weights do not change without being measured again.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".sha256"


def write(scores: Path, *deciding: Path) -> None:
    """Write the list of `scores`: that file, and the files of `deciding` (folders: all of theirs).

    `scores.json` has `scores.sha256`, with names as they are seen from there.
    """
    files = sorted({scores, *(file for path in deciding for file in _files(path))})
    lines = [f"{digest(file)}  {os.path.relpath(file, scores.parent)}\n" for file in files]
    scores.with_suffix(SUFFIX).write_text("".join(lines))


def read(listed: Path) -> dict[Path, str]:
    """Each file of a list, and the digest that it had."""
    found = {}
    for line in listed.read_text().splitlines():
        known, _, name = line.partition("  ")
        found[(listed.parent / name).resolve()] = known
    return found


def digest(file: Path) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter([path])
