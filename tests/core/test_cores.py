"""Where cores are few an engine has one; where they are not, nothing is held to any."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cores import engine_core, hold, keep_off


@pytest.mark.parametrize(
    ("mine", "engines"),
    [
        ({0}, None),
        ({0, 1}, 1),
        ({2, 5, 7}, 7),
        (set(range(4)), 3),
        (set(range(5)), None),
        (set(range(64)), None),
    ],
)
def test_the_last_core_is_the_engines_if_they_are_few_and_not_one_alone(monkeypatch, mine, engines):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process_id: mine)
    assert engine_core() == engines


def test_every_thread_of_a_process_is_held_and_those_it_starts_later():
    mine = os.sched_getaffinity(0)
    core = max(mine)
    with child() as process:
        hold(process.pid, core)
        assert allowed(process.pid) == [{core}] * 2
        assert process.communicate("go\n")[0] == f"{core}\n", "the thread it started then"
    assert os.sched_getaffinity(0) == mine


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core is nobody's alone")
def test_every_thread_of_a_process_keeps_off_a_core_and_its_own_may_be_that_one_alone():
    mine = os.sched_getaffinity(0)
    core = max(mine)
    with child() as process:
        keep_off(process.pid, core)
        keep_off(process.pid, core)
        assert allowed(process.pid) == [mine - {core}] * 2
        hold(process.pid, core)
        keep_off(process.pid, core)
        assert allowed(process.pid) == [{core}] * 2, "it has no other"
        process.communicate("go\n")


def test_a_process_that_has_ended_is_passed_over():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        pass
    hold(ended.pid, 0)
    keep_off(ended.pid, 0)


THREADS = """
import os, sys, threading
asked = threading.Event()
def later():
    asked.wait()
    print(*os.sched_getaffinity(0))
threading.Thread(target=asked.wait).start()
print("started", flush=True)
sys.stdin.readline()
late = threading.Thread(target=later)
late.start()
asked.set()
"""


def child():
    process = subprocess.Popen(
        [sys.executable, "-c", THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def allowed(process_id):
    threads = Path(f"/proc/{process_id}/task").iterdir()
    return [os.sched_getaffinity(int(thread.name)) for thread in threads]
