"""Lock files: made from `pyproject.toml`, hash by hash, and checked for freshness offline.

Place: `make lock` and `make check`. Standard library only: it must run before anything is
installed. It installs nothing; `requirements/install.sh` does.

Each lock names a hash of what it was made from, so that a changed requirement is noticed without
a network. torch has a pin of its own on CPU machines and no hash: its CPU wheel reaches different
machines from different places, as different files.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
INPUTS = re.compile(r"^# inputs: sha256:([0-9a-f]{64})$", re.MULTILINE)
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
CUDA = re.compile(r"^nvidia-", re.MULTILINE)
UV = "uv==0.13.8"
EXCLUDED = "excluded-cpu.txt"


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock file.

    Args:
        name: its file name in `requirements/`.
        extras: what it covers, besides the project's own dependencies.
        over: a lock that is installed before it, and is not repeated in it.
        cpu: whether torch is the CPU build, pinned elsewhere.
    """

    name: str
    extras: tuple[str, ...]
    over: str | None = None
    cpu: bool = True


LOCKS = (
    Lock("cpu.txt", ("cpu",)),
    Lock("gpu.txt", ("gpu",), cpu=False),
    Lock("dev.txt", ("cpu", "dev"), over="cpu.txt"),
)
TORCH = "torch-cpu.txt"
BOOTSTRAP = "uv.txt"
SPEECH = "speech-cpu.txt"
SPEECH_PACKAGE = "torchaudio"
"""What speech replicas want on a CPU machine, in a directory of their own (ADR 0018). Its pin and
hashes are the GPU flavour's."""


class Locks:
    """The lock files of a checkout.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.directory = root / "requirements"
        self.project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())[
            "project"
        ]

    def stale(self) -> list[str]:
        """Names of the lock files that were not made from the present requirements."""
        wanted = {lock.name: self._inputs(lock) for lock in LOCKS}
        wanted[BOOTSTRAP] = _digest([UV])
        wanted[TORCH] = _digest([self._torch()])
        wanted[SPEECH] = _digest([self._speech()])
        return [name for name, digest in wanted.items() if self._recorded(name) != digest]

    def write(self, uv: str, *options: str, find_links: str = "") -> None:
        """Resolve again with the program `uv`; needs the package index.

        `find_links` names directories with further wheels: torch's CPU build comes from there.
        """
        for lock in LOCKS:
            source = ["--find-links", find_links] if find_links else ["--torch-backend", "cpu"]
            text = self._resolve(lock, uv, [*(source if lock.cpu else ()), *options])
            self._write(lock.name, self._inputs(lock), text)
        self._write(BOOTSTRAP, _digest([UV]), _compile(uv, ["-", *options], text=UV))
        self._write(TORCH, _digest([self._torch()]), self._torch() + "\n")
        self._write(SPEECH, _digest([self._speech()]), self._speech())

    def _resolve(self, lock: Lock, uv: str, options: list[str]) -> str:
        extras = [part for extra in lock.extras for part in ("--extra", extra)]
        project = str(self.directory.parent / "pyproject.toml")
        arguments = [project, *extras, *self._narrowing(lock), *options]
        text = _compile(uv, arguments, present=self.directory / lock.name)
        if lock.cpu and CUDA.search(text):
            raise SystemExit(
                f"{lock.name}: torch's CPU build was not found, so CUDA's libraries came along.\n"
                "Set PIP_FIND_LINKS to a directory that has its wheel."
            )
        return text

    def _narrowing(self, lock: Lock) -> list[str]:
        if not lock.cpu:
            return []
        arguments = ["--excludes", str(self.directory / EXCLUDED), "--no-emit-package", "torch"]
        if lock.over is not None:
            below = self.directory / lock.over
            arguments += ["--constraints", str(below)]
            for name in PINNED.findall(below.read_text()):
                arguments += ["--no-emit-package", name]
        return arguments

    def _inputs(self, lock: Lock) -> str:
        """Hash of everything that decides what is in a lock."""
        extras = self.project["optional-dependencies"]
        parts = [*self.project["dependencies"], self.project["requires-python"]]
        parts += [requirement for extra in lock.extras for requirement in extras[extra]]
        if lock.cpu:
            parts.append((self.directory / EXCLUDED).read_text())
        return _digest(parts)

    def _torch(self) -> str:
        """The pin of torch's CPU build: the version of the extra `cpu`, with its local label."""
        pins = self.project["optional-dependencies"]["cpu"]
        return f"{next(pin for pin in pins if pin.startswith('torch=='))}+cpu"

    def _speech(self) -> str:
        """The GPU lock's entry of torchaudio."""
        text = (self.directory / "gpu.txt").read_text()
        entry = re.search(rf"^{SPEECH_PACKAGE}==.*(?:\n    .*)*\n", text, re.MULTILINE)
        return entry.group() if entry else ""

    def _recorded(self, name: str) -> str | None:
        path = self.directory / name
        found = INPUTS.search(path.read_text()) if path.exists() else None
        return found.group(1) if found else None

    def _write(self, name: str, digest: str, text: str) -> None:
        head = f"# Made by `make lock`; do not edit.\n# inputs: sha256:{digest}\n"
        draft = self.directory / f".{name}.new"
        draft.write_text(head + text)
        draft.replace(self.directory / name)


def _compile(
    uv: str, arguments: list[str], present: Path | None = None, text: str | None = None
) -> str:
    """What `uv pip compile` pins. Pins in `present` stay, unless an argument says otherwise."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "lock.txt"
        if present is not None and present.exists():
            output.write_text(present.read_text())
        command = [
            *(uv, "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.11"),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--output-file", str(output)),
            *arguments,
        ]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return output.read_text()


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()


def main(arguments: list[str]) -> int:
    """`check`, or `write UV FIND_LINKS [options of uv pip compile]`."""
    locks = Locks()
    if arguments[:1] == ["write"]:
        uv, find_links, *options = arguments[1:]
        locks.write(uv, *options, find_links=find_links)
        return 0
    stale = locks.stale()
    if stale:
        print(f"stale: {', '.join(f'requirements/{name}' for name in stale)}. Run: make lock")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
