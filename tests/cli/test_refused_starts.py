"""A start that cannot go well is refused: one line, before anything is started."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.settings import ROOT, child_environment
from tests.e2e.cluster import free_port


def refused(state: Path, port: int) -> str:
    """What `carillon up` says on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "up", "--port", str(port)],
        env=child_environment({"CARILLON_STATE": str(state), "PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert not (state / "run" / "up.json").exists()
    return done.stderr


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of that size."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a file system cannot be mounted here")
    mounted: list[str] = []

    def mount(size: str) -> Path:
        directory = tempfile.mkdtemp(prefix="carillon-disk-", dir="/tmp")
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            Path(directory).rmdir()
            pytest.skip("a file system cannot be mounted here")
        mounted.append(directory)
        return Path(directory)

    yield mount
    for directory in mounted:
        subprocess.run(["umount", directory], check=True)
        Path(directory).rmdir()


def test_a_port_in_use(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert refused(tmp_path, port) == (
            f"carillon: port {port} is in use."
            f" Choose another: CARILLON_PORT={port + 1} make serve\n"
        )


def test_a_small_disk(small_disk):
    state = small_disk("16m") / "state"
    assert refused(state, free_port()) == (
        f"carillon: only 0.0 GiB of disk are free at {state}; 1 GiB is needed\n"
    )


def test_a_full_disk(small_disk):
    state = small_disk("16k") / "state"
    state.mkdir()
    with pytest.raises(OSError, match="No space left"):
        (state / "filler").write_bytes(bytes(2**20))
    assert refused(state, free_port()) == (
        f"carillon: only 0.0 GiB of disk are free at {state}; 1 GiB is needed\n"
    )


def test_a_file_where_the_state_should_be(tmp_path):
    state = tmp_path / "state"
    state.write_text("mine")
    assert refused(state, free_port()) == f"carillon: {state} cannot hold the state: File exists\n"
    assert state.read_text() == "mine"
