"""The ledger asks models for the ends of calls whose gateway died, and nobody else."""

import asyncio

import pytest
from ray import serve
from ray.serve.exceptions import RayServeException

from auth.admission import Abandoned
from core.model import Ended
from core.work import WorkUnits
from graphs.recall import Recall

ENDED = Ended(WorkUnits(output_tokens=9), 0.5, 20)


class Application:
    """Two replicas that live, and one that does not."""

    def __init__(self, ends):
        self.ends = ends
        self.asked = []

    def options(self, **_):
        return self

    def broadcast(self, method, request_ids):
        assert method == "ended"
        self.asked.append(request_ids)
        return self

    async def results_async(self, **_):
        return [RuntimeError("dead"), {}, self.ends]


@pytest.fixture
def settled():
    return []


@pytest.fixture
def recall(settled, monkeypatch):
    monkeypatch.setattr("graphs.recall.GRACE_S", 0.001)

    async def settle(request_id, ended):
        settled.append((request_id, ended))

    return Recall(settle)


async def test_the_replicas_of_each_model_are_asked_once_for_all_its_calls(
    monkeypatch, recall, settled
):
    applications = {"chat": Application({"b": ENDED}), "speech": Application({})}
    monkeypatch.setattr(serve, "get_app_handle", applications.__getitem__)
    recall.begin([Abandoned("a", "chat"), Abandoned("b", "chat"), Abandoned("c", "speech")])
    recall.begin([Abandoned("made again by a job", None)])
    await asyncio.sleep(0.05)
    assert applications["chat"].asked == [["a", "b"]]
    assert applications["speech"].asked == [["c"]]
    assert settled == [("b", ENDED)]


async def test_a_model_that_is_gone_leaves_the_guess(monkeypatch, recall, settled):
    def gone(_):
        raise RayServeException("no such application")

    monkeypatch.setattr(serve, "get_app_handle", gone)
    recall.begin([Abandoned("a", "chat")])
    await asyncio.sleep(0.05)
    assert settled == []
    monkeypatch.setattr(serve, "get_app_handle", lambda _: Application({"a": ENDED}))
    recall.begin([Abandoned("a", "chat")])
    await asyncio.sleep(0.05)
    assert settled == [("a", ENDED)], "it was asked anew"
