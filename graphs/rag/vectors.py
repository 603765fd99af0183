"""Vectors as stores take them: of one length, finite, and scaled to length one.

Place in the path: between a vector store's methods and its statements. Cosine similarity does not
see a vector's length, so scaling changes no answer, and no value is too large for half precision.
"""

from collections.abc import Sequence

import numpy as np

from core.errors import InvalidRequest


def scaled(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    """The vectors, each divided by its own length.

    Raises InvalidRequest when they differ in how many numbers they have, or one has none, has
    one that is not finite, or is all zero.
    """
    if len({len(vector) for vector in vectors}) > 1:
        raise InvalidRequest("the embedding model gave vectors of different lengths")
    table = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(table, axis=-1, keepdims=True)
    if not table.size or not np.isfinite(lengths).all() or not lengths.all():
        raise InvalidRequest("the embedding model gave a vector that is empty, zero or not finite")
    unit: list[list[float]] = (table / lengths).tolist()
    return unit


def other_length(given: int, stored: int) -> InvalidRequest:
    """What to say when vectors do not fit a collection."""
    return InvalidRequest(
        f"the collection has vectors of {stored} numbers, and these have {given}: it was made with"
        " another embedding model. Delete it, and put its documents in again",
        "collection",
    )
