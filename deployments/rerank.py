"""Rerank: cross-encoders, which read a query and a document together.

Place in the path: step 4. Any model that transformers loads for sequence classification with one
score, or with two classes of which the second means relevant. Pairs of requests that arrive
together go through it as one batch, sorted by length so that little is padding. Encoders that read
the two apart rank by `deployments.late_interaction`.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from core.errors import SettingsError
from core.model import CallContext, Frozen, ModelSpec, Operation, Reply
from core.rerank import RerankRequest, estimate_pairs
from deployments.batcher import Batch, Batcher
from deployments.device_time import DeviceTime
from deployments.ranking import rank
from deployments.torch_share import take_share
from models.sources import locate

MAX_BATCH_REQUESTS = 32
BATCH_WAIT_S = 0.002
CHARACTERS_PER_TOKEN = 64
"""More than a token of any text has: what is beyond them is beyond the window, and is not read."""
QUERY_SHARE = 2
"""A query takes at most this part of the window: documents have the rest."""
CLASSES = 2


class RerankSettings(Frozen):
    """`engine` settings of a cross-encoder."""

    name: str
    """Name that answers carry."""
    source: str
    """Weights; see `models.sources`."""
    window: int | None = Field(None, ge=16)
    """Tokens of query and document together; the model's own maximum when not given."""
    device: str = "cpu"
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of the weights, once they are loaded."""
    micro_batch: int = Field(16, ge=1)
    """Pairs per forward pass."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    threads: int | None = None
    """CPU threads of one forward pass; None leaves it to torch."""


class Pair(NamedTuple):
    """A query and a document as the model reads them."""

    ids: list[int]
    types: list[int]
    """Which of the two each token is of, for models that ask."""


class Pairs(NamedTuple):
    """Some pairs of one call."""

    pairs: Sequence[Pair]
    call: CallContext


class Reranker:
    """One cross-encoder."""

    def __init__(self, settings: RerankSettings) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        take_share(torch, settings)
        folder = locate(settings.source)
        self.settings = settings
        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=getattr(torch, settings.dtype)
        )
        if model.config.num_labels not in (1, CLASSES):
            raise SettingsError(
                f"{settings.source!r} has {model.config.num_labels} classes: a rerank model has one"
                " score, or two classes",
                "source",
            )
        self.model = model.to(settings.device).eval()
        self.words = self.tokenizer.backend_tokenizer
        self.words.no_truncation()
        self.words.no_padding()
        self.special = int(self.words.num_special_tokens_to_add(is_pair=True))
        self.window = _window(settings, self.tokenizer, self.model.config)
        self.device = DeviceTime()
        self.batcher: Batcher[None, Pairs, list[float]] = Batcher(
            self._score, MAX_BATCH_REQUESTS, BATCH_WAIT_S
        )

    async def rerank(self, request: RerankRequest, call: CallContext) -> Reply:
        """The documents that answer the query best, in the answer of `core.rerank`.

        A query is cut to half of the model's window, and each document to what is left of it.
        """
        pairs = await asyncio.to_thread(self._read, request)

        async def score(piece: Sequence[Pair]) -> Sequence[float]:
            return await self.batcher.submit(None, Pairs(piece, call), call.request_id)

        return await rank(
            request, call, self.settings.name, pairs, score, size=lambda pair: len(pair.ids)
        )

    def _read(self, request: RerankRequest) -> list[Pair]:
        room = self.window - self.special
        (query,) = self._encoded([request.query], room // QUERY_SHARE)
        left = room - len(query.ids)
        documents = self._encoded(request.texts, min(left, request.max_tokens_per_doc or left))
        made = (self.words.post_process(query, document) for document in documents)
        return [Pair(pair.ids, pair.type_ids) for pair in made]

    def _encoded(self, texts: Sequence[str], most: int) -> list[Any]:
        """Each text in tokens, without special ones, at most `most` of them."""
        cut = [text[: CHARACTERS_PER_TOKEN * most] for text in texts]
        found: list[Any] = self.words.encode_batch(cut, add_special_tokens=False)
        for each in found:
            each.truncate(most)
        return found

    def _score(self, batch: Batch[None, Pairs, list[float]]) -> list[list[float]]:
        """A score of each pair, for each call of the batch.

        In the worker thread. Each call bears the share that its tokens are of the batch.
        """
        for job in batch.jobs:
            self.device.begin(job.call, weight=sum(len(pair.ids) for pair in job.pairs) or 1)
        try:
            scores = self._forward([pair for job in batch.jobs for pair in job.pairs], batch)
        finally:
            for job in batch.jobs:
                self.device.leave(job.call)
        ends = list(itertools.accumulate(len(job.pairs) for job in batch.jobs))
        return [scores[start:end] for start, end in itertools.pairwise([0, *ends])]

    def _forward(
        self, pairs: Sequence[Pair], batch: Batch[None, Pairs, list[float]]
    ) -> list[float]:
        order = sorted(range(len(pairs)), key=lambda index: len(pairs[index].ids))
        scores = [0.0] * len(pairs)
        with self.torch.inference_mode():
            for start in range(0, len(order), self.settings.micro_batch):
                batch.checkpoint()
                chosen = order[start : start + self.settings.micro_batch]
                found = self._pass([pairs[index] for index in chosen])
                for index, score in zip(chosen, found, strict=True):
                    scores[index] = score
        return scores

    def _pass(self, pairs: Sequence[Pair]) -> list[float]:
        """How likely each document answers, 0 to 1."""
        inputs = {"input_ids": [pair.ids for pair in pairs]}
        if "token_type_ids" in self.tokenizer.model_input_names:
            inputs["token_type_ids"] = [pair.types for pair in pairs]
        padded = self.tokenizer.pad(inputs, return_tensors="pt").to(self.settings.device)
        logits = self.model(**padded).logits.float()
        if logits.shape[1] == CLASSES:
            likely = logits.softmax(dim=1)[:, 1]
        else:
            likely = logits[:, 0].sigmoid()
        scores: list[float] = likely.tolist()
        return scores


def _window(settings: RerankSettings, tokenizer: Any, config: Any) -> int:
    """Tokens that the model reads at once."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and "roberta" in config.model_type:
        positions -= config.pad_token_id + 1  # where such models begin to count
    known = [size for size in (settings.window, positions) if size is not None]
    # A tokenizer that knows no maximum says a number beyond any.
    return int(min([*known, tokenizer.model_max_length]))


SPEC = ModelSpec(
    family="rerank",
    model=Reranker,
    settings=RerankSettings,
    operations={
        "rerank": Operation(method="rerank", request=RerankRequest, estimate=estimate_pairs)
    },
    # A batch can only be filled with requests that are already here.
    options={"max_ongoing_requests": 2 * MAX_BATCH_REQUESTS, "max_queued_requests": 256},
)
