"""Ranking: what every rerank model does around its own scores.

Place in the path: step 4, between a model's verb and its batches. A request's documents go through
the model piece by piece, so that other callers get their turns in between, and what was read so far
is counted even where a caller goes away. It knows no model.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import orjson

from core.model import CallContext, Reply
from core.rerank import RerankRequest, rerank_body
from core.work import WorkUnits

PIECE = 64
"""Documents of one call that are scored before others have their turn."""

I = TypeVar("I")  # noqa: E741  # an input, whatever the model reads


async def rank(
    request: RerankRequest,
    call: CallContext,
    name: str,
    inputs: Sequence[I],
    score: Callable[[Sequence[I]], Awaitable[Sequence[float]]],
    *,
    size: Callable[[I], int],
    once: int = 0,
) -> Reply:
    """The answer to `request`.

    Args:
        name: of the model, as answers carry it.
        inputs: what is read for each document, in the order of the documents.
        score: of some of them, in their order; more is better.
        size: tokens of an input.
        once: tokens that are read beside the inputs, once.
    """
    scores: list[float] = []
    units = WorkUnits(input_tokens=once)
    for start in range(0, len(inputs), PIECE):
        piece = inputs[start : start + PIECE]
        scores += await score(piece)
        units += WorkUnits(input_tokens=sum(map(size, piece)))
        call.done = units
    return Reply(orjson.dumps(rerank_body(request, scores, name, call.request_id, units)), units)
