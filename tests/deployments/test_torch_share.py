"""A replica on torch takes its share, and a GPU's memory only where there is a GPU."""

from types import SimpleNamespace

import pytest
import torch

from deployments.embeddings import EmbeddingSettings
from deployments.torch_share import take_share


def settings(**changed):
    return EmbeddingSettings(name="m", source="package:m", **changed)


@pytest.fixture
def fractions(monkeypatch):
    """What torch was asked for; here is no GPU that could hold it."""
    asked: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    return asked


@pytest.mark.parametrize(
    ("device", "fraction", "expected"),
    [("cuda", 0.25, [0.25]), ("cuda:1", 0.5, [0.5]), ("cpu", 0.25, []), ("cuda", None, [])],
)
def test_memory_is_bounded_on_a_gpu_alone(fractions, device, fraction, expected):
    take_share(torch, settings(device=device, memory_fraction=fraction))
    assert fractions == expected


@pytest.mark.parametrize(("threads", "expected"), [(2, [2]), (None, [])])
def test_threads_are_torchs_own_choice_unless_they_are_set(threads, expected):
    set_to: list[int] = []
    take_share(SimpleNamespace(set_num_threads=set_to.append), settings(threads=threads))
    assert set_to == expected
