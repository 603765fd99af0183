"""Embeddings: sentence-transformers models with dynamic batching.

Place in the path: step 4. Texts of requests that arrive together go through the model as one
batch, sorted by length so that little is padding. It truncates what is embedded only when asked to.
The same model ranks documents by their token vectors: `deployments.late_interaction`.
"""

import asyncio
import base64
import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import Field

from core.embedding import EmbeddingRequest, estimate_embedding
from core.errors import ContextOverflow, InvalidRequest
from core.model import CallContext, Frozen, ModelSpec, Operation, Reply
from core.rerank import RerankRequest, estimate_apart
from core.work import WorkUnits
from deployments.batcher import Batch, Batcher
from deployments.device_time import DeviceTime
from deployments.late_interaction import LateInteraction, Question
from deployments.ranking import rank
from deployments.torch_share import take_share
from models.sources import locate

MAX_BATCH_REQUESTS = 64
BATCH_WAIT_S = 0.002
CHARACTERS_PER_TOKEN = 64
"""More than a token of any text has: what is beyond them is beyond the window, and is not read."""
LARGE = 16_384
"""Characters or token ids of a call that takes too long to read while other calls wait."""


class EmbeddingSettings(Frozen):
    """`engine` settings of an embedding model."""

    name: str
    """Name that answers carry."""
    source: str
    """Weights; see `models.sources`."""
    on_overflow: Literal["error", "truncate"] = "error"
    """What to do with an input over the model's window when the request does not say."""
    device: str = "cpu"
    micro_batch: int = 32
    """Inputs per forward pass."""
    memory_fraction: float | None = Field(None, gt=0, le=1)
    """Most of the GPU's memory that this replica takes: keep it at its `num_gpus`."""
    threads: int | None = None
    """CPU threads of one forward pass; None leaves it to torch."""


Kind = Literal["embed", "rank"]


class Texts(NamedTuple):
    """Token ids of each input of one call; where it ranks, the first is the query."""

    tokens: list[list[int]]
    call: CallContext


class Embeddings:
    """One sentence encoder."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        take_share(torch, settings)
        self.settings = settings
        self.torch = torch
        self.encoder = SentenceTransformer(locate(settings.source), device=settings.device).eval()
        self.window = int(self.encoder.max_seq_length)
        self.dimensions = int(self.encoder.get_embedding_dimension())
        self.prefix, self.suffix = _special_tokens(self.encoder.tokenizer)
        self.vocabulary = len(self.encoder.tokenizer)
        self.late = LateInteraction(
            self.encoder, len(self.prefix), len(self.suffix), settings.micro_batch
        )
        self.device = DeviceTime()
        self.batcher: Batcher[Kind, Texts, Any] = Batcher(
            self._work, MAX_BATCH_REQUESTS, BATCH_WAIT_S
        )

    async def embed(self, request: EmbeddingRequest, call: CallContext) -> Reply:
        """One vector per input, in OpenAI's envelope."""
        dimensions = self._dimensions(request)
        tokens = await self._tokens(request)
        units = WorkUnits(input_tokens=sum(len(ids) for ids in tokens))
        found = await self.batcher.submit("embed", Texts(tokens, call), call.request_id)
        vectors = self._cut(found, dimensions)
        return Reply(self._body(request, vectors, units), units)

    async def rerank(self, request: RerankRequest, call: CallContext) -> Reply:
        """The documents that answer the query best, in the answer of `core.rerank`.

        Query and documents are cut to the model's window.
        """
        query, *documents = await asyncio.to_thread(self._read_apart, request)

        async def score(piece: Sequence[list[int]]) -> Sequence[float]:
            texts = Texts([query, *piece], call)
            scores: list[float] = await self.batcher.submit("rank", texts, call.request_id)
            return scores

        name = self.settings.name
        return await rank(request, call, name, documents, score, size=len, once=len(query))

    def _read_apart(self, request: RerankRequest) -> list[list[int]]:
        """Token ids of the query and of each document."""
        most = self.window
        if request.max_tokens_per_doc is not None:
            most = min(most, request.max_tokens_per_doc + self._overhead)
        return [*self._read([request.query], self.window), *self._read(request.texts, most)]

    def _dimensions(self, request: EmbeddingRequest) -> int:
        asked = request.dimensions or self.dimensions
        if asked > self.dimensions:
            raise InvalidRequest(f"this model has {self.dimensions} dimensions", "dimensions")
        return asked

    async def _tokens(self, request: EmbeddingRequest) -> list[list[int]]:
        """Token ids of each input, special tokens included."""
        inputs = request.texts_or_tokens()
        limit = self._limit(request)
        if sum(map(len, inputs)) < LARGE:
            return self._read(inputs, limit)
        return await asyncio.to_thread(self._read, inputs, limit)

    def _read(self, inputs: list[Any], limit: int | None) -> list[list[int]]:
        if isinstance(inputs[0], str):
            texts = [self._readable(text, limit, index) for index, text in enumerate(inputs)]
            encoded = self.encoder.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        else:
            encoded = [self._checked(ids, limit, index) for index, ids in enumerate(inputs)]
        return [self._fit(ids, limit, index) for index, ids in enumerate(encoded)]

    def _readable(self, text: str, limit: int | None, index: int) -> str:
        """As much of a text as can matter."""
        most = CHARACTERS_PER_TOKEN * (limit or self.window)
        if limit is None and len(text) > most:
            raise self._too_long(f"input[{index}] has {len(text)} characters")
        return text[:most]

    def _checked(self, ids: list[int], limit: int | None, index: int) -> list[int]:
        whole = len(ids) + self._overhead
        if limit is None and whole > self.window:
            raise self._too_long(f"input[{index}] has {whole} tokens")
        kept = ids[:limit]
        if not all(0 <= token < self.vocabulary for token in kept):
            raise InvalidRequest(f"input[{index}] has a token outside the vocabulary", "input")
        return [*self.prefix, *kept, *self.suffix]

    def _limit(self, request: EmbeddingRequest) -> int | None:
        """Tokens to keep of each input; None means that a longer input is an error."""
        asked = request.truncate_prompt_tokens
        if asked is None:
            return self.window if self.settings.on_overflow == "truncate" else None
        return self.window if asked == -1 else max(min(asked, self.window), self._overhead + 1)

    def _fit(self, ids: list[int], limit: int | None, index: int) -> list[int]:
        if limit is None and len(ids) > self.window:
            raise self._too_long(f"input[{index}] has {len(ids)} tokens")
        if limit is None or len(ids) <= limit:
            return ids
        kept = limit - len(self.suffix)
        return [*ids[:kept], *self.suffix]

    def _too_long(self, what: str) -> ContextOverflow:
        return ContextOverflow(
            f"{what}; this model takes {self.window} tokens. "
            "Shorten it, or set truncate_prompt_tokens to -1",
            "input",
        )

    @property
    def _overhead(self) -> int:
        return len(self.prefix) + len(self.suffix)

    def _work(self, batch: Batch[Kind, Texts, Any]) -> list[Any]:
        """In the worker thread. Each call bears the share that its tokens are of the batch."""
        for texts in batch.jobs:
            self.device.begin(texts.call, weight=sum(map(len, texts.tokens)) or 1)
        try:
            return self._encode(batch) if batch.kind == "embed" else self._rank(batch)
        finally:
            for texts in batch.jobs:
                self.device.leave(texts.call)

    def _rank(self, batch: Batch[Kind, Texts, Any]) -> list[list[float]]:
        """A score of each document, for each request of the batch."""
        questions = [Question(texts.tokens[0], texts.tokens[1:]) for texts in batch.jobs]
        return self.late.scores(questions, batch.checkpoint)

    def _encode(self, batch: Batch[Kind, Texts, Any]) -> list[Any]:
        """Vectors (inputs, dimensions) in float32 for each request of the batch."""
        vectors = self._forward([ids for texts in batch.jobs for ids in texts.tokens], batch)
        ends = list(itertools.accumulate(len(texts.tokens) for texts in batch.jobs))
        return [vectors[start:end] for start, end in itertools.pairwise([0, *ends])]

    def _forward(self, inputs: Sequence[list[int]], batch: Batch[Kind, Texts, Any]) -> Any:
        order = sorted(range(len(inputs)), key=lambda index: len(inputs[index]))
        vectors = self.torch.empty(len(inputs), self.dimensions)
        with self.torch.inference_mode():
            for start in range(0, len(order), self.settings.micro_batch):
                batch.checkpoint()
                chosen = order[start : start + self.settings.micro_batch]
                vectors[chosen] = self._pass([inputs[index] for index in chosen])
        return vectors.numpy()

    def _pass(self, inputs: list[list[int]]) -> Any:
        padded = self.encoder.tokenizer.pad({"input_ids": inputs}, return_tensors="pt")
        features = {name: tensor.to(self.encoder.device) for name, tensor in padded.items()}
        return self.encoder(features)["sentence_embedding"].float().cpu()

    def _cut(self, vectors: Any, dimensions: int) -> Any:
        """The first `dimensions` of each vector, of unit length again (as OpenAI does)."""
        if dimensions == self.dimensions:
            return vectors
        tensor = self.torch.from_numpy(vectors[:, :dimensions])
        return self.torch.nn.functional.normalize(tensor, dim=1).numpy()

    def _body(self, request: EmbeddingRequest, vectors: Any, units: WorkUnits) -> bytes:
        encode = _base64 if request.encoding_format == "base64" else _as_is
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": units.input_tokens, "total_tokens": units.tokens}
        body = {"object": "list", "data": data, "model": self.settings.name, "usage": usage}
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, mask = encoded["input_ids"], encoded["special_tokens_mask"]
    inside = [index for index, special in enumerate(mask) if not special]
    return ids[: inside[0]], ids[inside[-1] + 1 :]


def _as_is(vector: Any) -> Any:
    return vector


def _base64(vector: Any) -> str:
    """Little-endian float32, as the official SDK asks for by default."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


SPEC = ModelSpec(
    family="embeddings",
    model=Embeddings,
    settings=EmbeddingSettings,
    operations={
        "embed": Operation(method="embed", request=EmbeddingRequest, estimate=estimate_embedding),
        "rerank": Operation(method="rerank", request=RerankRequest, estimate=estimate_apart),
    },
    # A batch can only be filled with requests that are already here.
    options={"max_ongoing_requests": 2 * MAX_BATCH_REQUESTS, "max_queued_requests": 512},
)
