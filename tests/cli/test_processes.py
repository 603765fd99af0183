"""Only what was started is ended: never a recycled pid, never another run."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import psutil
import pytest

from cli import processes
from cli.leftovers import stop_running, sweep
from cli.processes import MARK, ProcessRecord
from cli.run_state import RunFile, RunState
from cli.short_paths import ShortPaths
from core.settings import child_environment

Sleeper: TypeAlias = "subprocess.Popen[bytes]"
STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"


@pytest.fixture
def sleeper() -> Iterator[Callable[..., Sleeper]]:
    children: list[subprocess.Popen[bytes]] = []

    def start(run_id: str = "", code: str = "") -> Sleeper:
        child = subprocess.Popen(
            [sys.executable, "-c", f"{code}\nimport time; time.sleep(60)"],
            env=child_environment({MARK: run_id}),
            stdout=subprocess.PIPE,
        )
        children.append(child)
        if code:
            assert child.stdout is not None
            child.stdout.readline()
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def recycled(known: ProcessRecord) -> ProcessRecord:
    """A record of an earlier process that had the same pid."""
    return known.model_copy(update={"started_at": known.started_at - 3600})


def run_of(up: ProcessRecord, run_id: str, *stores: ProcessRecord) -> RunState:
    return RunState(
        run_id=run_id,
        up=up,
        base_url="http://127.0.0.1:8000",
        dashboard_url="http://127.0.0.1:8265",
        gcs_address="127.0.0.1:6379",
        stores=list(stores),
    )


def test_a_recorded_process_is_found_again(sleeper):
    child = sleeper()
    found = processes.find(processes.record("x", child.pid))
    assert found is not None
    assert found.pid == child.pid


def test_a_recycled_pid_is_not_ours(sleeper):
    assert processes.find(recycled(processes.record("x", sleeper().pid))) is None


def test_a_process_that_ended_is_not_found_even_before_it_is_reaped(sleeper):
    child = sleeper()
    known = processes.record("x", child.pid)
    psutil.Process(child.pid).kill()
    psutil.wait_procs([psutil.Process(child.pid)], timeout=0.5)
    assert processes.find(known) is None


def test_marked_processes_are_those_of_one_run_and_their_children(sleeper):
    ours, other = sleeper("run-a"), sleeper("run-b")
    # Flushed: in a bare environment the line would come when all is over.
    code = "import subprocess; subprocess.Popen(['sleep', '60']); print(1, flush=True)"
    parent = sleeper("run-a", code)
    family = {ours.pid, parent.pid, *(p.pid for p in psutil.Process(parent.pid).children())}
    # A process that is just being started has no environment for a moment.
    for _ in range(100):
        found = {p.pid for p in processes.marked("run-a")}
        if found == family:
            break
        time.sleep(0.05)
    assert found == family
    assert other.pid not in found
    processes.end(psutil.Process(parent.pid).children(), 5)


def test_a_process_that_ignores_the_request_to_end_is_killed(sleeper):
    child = sleeper(code=STUBBORN)
    processes.end([psutil.Process(child.pid)], 0.2)
    assert child.poll() is not None


def test_sweeping_ends_a_dead_runs_processes_and_no_others(tmp_path, sleeper):
    file = RunFile(tmp_path)
    store, marked, bystander = sleeper(), sleeper("run-a"), sleeper("run-b")
    innocent = sleeper()
    with file.lock():
        file.write(
            run_of(
                recycled(processes.record("up", bystander.pid)),
                "run-a",
                processes.record("valkey", store.pid),
                recycled(processes.record("postgres", innocent.pid)),
            )
        )
        assert sweep(file, ShortPaths(tmp_path)) == 2
        assert sweep(file, ShortPaths(tmp_path)) == 0
    assert store.poll() is not None
    assert marked.poll() is not None
    assert bystander.poll() is None
    assert innocent.poll() is None


def test_a_stop_does_not_signal_a_recycled_pid_of_up(tmp_path, sleeper):
    file = RunFile(tmp_path)
    bystander = sleeper()
    with file.lock():
        file.write(run_of(recycled(processes.record("up", bystander.pid)), "run-a"))
    assert stop_running(file) is None
    assert bystander.poll() is None
