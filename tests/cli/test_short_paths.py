"""Deep checkouts: sockets still fit."""

import socket
from pathlib import Path

import pytest

from cli.failure import Failure
from cli.short_paths import SOCKET_PATH_BYTES, ShortPaths


def test_a_path_that_fits_is_left_alone(tmp_path):
    paths = ShortPaths(Path("/x"), tmp_path)
    assert paths.of(Path("/x/run"), 20) == Path("/x/run")
    assert list(tmp_path.iterdir()) == []


def test_a_deep_path_gets_a_short_name_for_the_same_place(tmp_path, monkeypatch):
    state = tmp_path / ("deep" * 20) / "state"
    (state / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    paths = ShortPaths(state, Path("/tmp"))
    short = paths.of(state / "run", len("/valkey.sock"))
    assert len(str(short)) + len("/valkey.sock") <= SOCKET_PATH_BYTES
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "valkey.sock"))
    assert (state / "run" / "valkey.sock").is_socket()
    paths.remove()
    assert not paths.directory.exists()
    assert (state / "run").exists()


def test_two_checkouts_have_two_short_directories(tmp_path):
    assert ShortPaths(Path("/a"), tmp_path).directory != ShortPaths(Path("/b"), tmp_path).directory


def test_a_link_of_an_older_state_directory_is_renewed(tmp_path):
    state = tmp_path / ("deep" * 30)
    state.mkdir()
    paths = ShortPaths(state, tmp_path)
    (paths.private() / "s").symlink_to("/elsewhere")
    assert paths.of(state / "run", 60).parent.resolve() == state


def test_a_directory_that_somebody_planted_is_refused(tmp_path):
    paths = ShortPaths(Path("/x"), tmp_path)
    (tmp_path / "elsewhere").mkdir()
    paths.directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Failure, match="belongs to somebody else"):
        paths.private()
