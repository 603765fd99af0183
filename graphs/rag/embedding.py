"""Vectors of texts, from the graph's embedding model, in batches.

Place in the path: between passages and the vector store. Two batches are under way at a time, so
that the model computes one while the other travels. What it takes is added to the call by the step.
"""

import asyncio
import base64
from array import array
from collections.abc import Sequence

import orjson

from core.embedding import EmbeddingRequest
from core.errors import ModelUnavailable
from core.model import CallContext
from graphs.step import Step

BATCH = 32
"""Texts of one request to the model."""
AT_ONCE = 2
WHOLE_WINDOW = -1
"""Cut by the model, where its tokenizer counts more than ours did."""

Vector = Sequence[float]


class Embedder:
    """The embedding model, from the graph's side.

    Args:
        step: the model, whose operation is `embed`.
    """

    def __init__(self, step: Step, batch: int = BATCH, at_once: int = AT_ONCE) -> None:
        self._step = step
        self._batch = batch
        self._at_once = at_once

    async def embed(self, texts: Sequence[str], call: CallContext) -> list[Vector]:
        """One vector of each text, in their order. Raises what `Step.answer` raises."""
        starts = range(0, len(texts), self._batch)
        room = asyncio.Semaphore(self._at_once)

        async def batch(start: int) -> list[Vector]:
            async with room:
                return await self._some(texts[start : start + self._batch], call)

        try:
            async with asyncio.TaskGroup() as group:
                batches = [group.create_task(batch(start)) for start in starts]
        except ExceptionGroup as failed:  # the others were cancelled by the first
            raise failed.exceptions[0] from None
        return [vector for done in batches for vector in done.result()]

    async def _some(self, texts: Sequence[str], call: CallContext) -> list[Vector]:
        request = EmbeddingRequest(
            input=list(texts), encoding_format="base64", truncate_prompt_tokens=WHOLE_WINDOW
        )
        reply = await self._step.answer("embed", request, call)
        data = sorted(orjson.loads(reply.body)["data"], key=lambda each: each["index"])
        if len(data) != len(texts):
            raise ModelUnavailable(f"'{self._step.model}' did not embed every text")
        return [_vector(each["embedding"]) for each in data]


def _vector(encoded: str | list[float]) -> Vector:
    """Little-endian float32 in base64, or numbers from models that know only those."""
    return encoded if isinstance(encoded, list) else array("f", base64.b64decode(encoded))
