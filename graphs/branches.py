"""Branches: steps of a graph that run at the same time, and end together.

Place in the path: inside a graph's replica, around its steps. When one fails, or the caller goes,
none of the others goes on: what they were asked would be work for nobody.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in the order of `works`. Raises what the first that fails raises."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
