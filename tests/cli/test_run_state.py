"""The lock and the file of a run."""

import os
import stat

import pytest

from cli import processes
from cli.failure import Failure
from cli.run_state import RunFile
from tests.cli.test_processes import run_of


def test_two_ups_of_one_installation_exclude_each_other(tmp_path):
    first, second = RunFile(tmp_path), RunFile(tmp_path)
    with first.lock():
        first.write(run_of(processes.record("up", os.getpid()), "run-a"))
        with (
            pytest.raises(Failure, match=rf"already running at http.* \(pid {os.getpid()}\)"),
            second.lock(),
        ):
            pass
    with second.lock():
        pass


def test_the_file_of_a_run_is_private_and_reads_back(tmp_path):
    file = RunFile(tmp_path)
    run = run_of(processes.record("up", os.getpid()), "run-a")
    with file.lock():
        file.write(run)
    assert file.running() == run
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_damaged_file_is_no_run(tmp_path):
    file = RunFile(tmp_path)
    with file.lock():
        file.path.write_text("{")
    assert file.read() is None
