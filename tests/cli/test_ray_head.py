"""A head that does not come up is launched again; one that never does is explained."""

import sys

import psutil
import pytest

from cli import ray_head
from cli.failure import Failure
from cli.ray_head import RayHead
from cli.short_paths import ShortPaths

HANGS = "import time; print('still thinking', flush=True); time.sleep(600)"


class Api:
    """Answers once the head has been launched for the `good`-th time."""

    def __init__(self, head, good):
        self.head, self.good = head, good

    def is_up(self):
        return self.head._launches >= self.good


@pytest.fixture
def head(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_head, "ANSWER_S", 1.0)
    monkeypatch.setattr(RayHead, "_command", lambda *_: [sys.executable, "-c", HANGS])
    (tmp_path / "logs").mkdir()
    head = RayHead(tmp_path, ShortPaths(tmp_path), "test-ray-head", tmp_path / "token")
    head.start({})
    yield head
    head.stop(1.0)


def test_a_head_that_hangs_is_ended_and_launched_again(head):
    first = psutil.Process(head._child.pid)
    head.wait(Api(head, good=2))
    assert head.is_alive()
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE


def test_a_head_that_never_answers_is_explained_with_its_last_words(head):
    with pytest.raises(Failure, match="still thinking"):
        head.wait(Api(head, good=9))
    assert head._launches == ray_head.STARTS
